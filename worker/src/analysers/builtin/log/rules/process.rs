//! Life of processes: start, end, configuration, speed.

use super::super::table::Certainty::{Exact, Hint, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Low, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "segmentation-fault",
        pattern: concat!(
            r"segmentation fault|segfault|SIGSEGV|SIGBUS|SIGILL|access violation|",
            r"core dumped|general protection|double free|heap corruption|",
            r"SIGABRT"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The process broke its memory and was ended by the system.",
        check: &["The core dump.", "Native libraries: versions and what they were given."],
    },
    Rule {
        error_type: "process-killed",
        pattern: concat!(
            r"SIGKILL|killed by signal|signal: killed|exit(ed)?( with)?( status| code)?:? ?137|",
            r"(container|process|task|child) \S* ?(was )?killed"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "Somebody killed the process.",
        check: &["Memory limit, health checks, or a person.", "Whether its work was taken over."],
    },
    Rule {
        error_type: "process-crash",
        pattern: concat!(
            r"crash(ed|ing|loop\w*)?\b|CrashLoopBackOff|(process|container|worker|child|task|service)\b.{0,40}\b(exited|died|terminated) (unexpectedly|abnormally|with)|",
            r"exit(ed)? (with )?(code|status) [1-9]|non-?zero exit|died unexpectedly|",
            r"premature exit|task: \S+ - exited|child init"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "A process ended that should have gone on.",
        check: &["Its last lines before the end.", "Whether it starts again, and how often."],
    },
    Rule {
        error_type: "config-missing",
        pattern: concat!(
            r"(missing|no|unknown|invalid|undefined|required) (required )?(config\w*|configuration|property|setting|environment variable|env var)\b|",
            r"(property|setting|environment variable|placeholder) \S+ (is )?(not set|missing|not found|required|undefined)|",
            r"could not resolve placeholder|ConfigurationException|ConfigException|",
            r"misconfigur\w+|BeanCreationException|NoSuchBeanDefinition|",
            r"UnsatisfiedDependency"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The configuration lacks something or is wrong.",
        check: &["The named setting in this environment.", "What the last release asks for."],
    },
    Rule {
        error_type: "startup-failed",
        pattern: concat!(
            r"(failed|unable|could not|cannot) to? ?(start|initiali[sz]e|boot|launch)|",
            r"(start-?up|initiali[sz]ation|application run) (has )?failed|",
            r"initiali[sz]ation error|init -?\d+ -?\d+"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "A program or a part of it did not start.",
        check: &["The first error before this one.", "Configuration and dependencies of that part."],
    },
    Rule {
        error_type: "slow-operation",
        pattern: concat!(
            r"\bslow (query|request|operation|response|read\w*|write|log|sync|consumer|task)|",
            r"took \d+ ?m?s\b.{0,40}(threshold|longer|exceed|slow)|fsync-ing .* took|",
            r"slow\w* \w+ took|(longer|slower) than (expected|usual|threshold)|",
            r"long[- ]running (query|task|transaction)|high latency"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "Something took longer than it should.",
        check: &["What it waited for: disk, locks, another service.", "Whether it became slower lately."],
    },
    Rule {
        error_type: "cleanup-failed",
        pattern: concat!(
            r"(cleanup|clean up|rollback|compensation|recovery) (has )?(failed|error)|",
            r"failed to (clean|roll ?back|delete|remove)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "Tidying up after work failed; something may remain.",
        check: &["What was left over, and whether it blocks the next run."],
    },
    Rule {
        error_type: "task-failed",
        pattern: concat!(
            r"(task|job|batch|step|stage|pipeline|build|deploy\w*|migration|backup|import|export|sync) (\S+ )?(has )?(failed|aborted)|",
            r"failed (task|job)|unsuccessful"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A unit of work failed.",
        check: &["Its first error.", "Whether it is repeated, and what waits for it."],
    },
    Rule {
        error_type: "restart",
        pattern: r"\b(restart(ed|ing)?|reboot(ed|ing)?|respawn\w*)\b",
        certainty: Hint,
        severity: Low,
        ticket: false,
        meaning: "A process starts again.",
        check: &["Why it ended, if nobody asked for it."],
    },
    Rule {
        error_type: "shutdown",
        pattern: r"\b(shut(ting)? ?down|stopping|sigterm|graceful(ly)? (stop|exit)|caught signal|terminating|going down)\b",
        certainty: Hint,
        severity: Low,
        ticket: false,
        meaning: "A process ends, as asked.",
        check: &["Whether somebody asked for it."],
    },
    Rule {
        error_type: "will-retry",
        pattern: concat!(r"will (be )?retr(y|ied)|retrying|(next|another) (attempt|retry)|", r"backing off"),
        certainty: Hint,
        severity: Low,
        ticket: false,
        meaning: "Something failed and will be tried again.",
        check: &["Whether the next attempt succeeded."],
    },
    Rule {
        error_type: "deprecated-use",
        pattern: r"deprecat(ed|ion)|end[- ]of[- ]life|will be removed",
        certainty: Hint,
        severity: Low,
        ticket: false,
        meaning: "Something is used that will go away.",
        check: &["What replaces it, and until when."],
    },
];
