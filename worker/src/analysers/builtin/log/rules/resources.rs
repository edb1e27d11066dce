//! Memory, disk, file handles, processor time.

use super::super::table::Certainty::{Exact, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "oom-killed",
        pattern: concat!(
            r"oom[- _]?kill|killed process \d+|memory cgroup out of memory|",
            r"exceed(s|ed|ing) (its |the )?memory limit|beyond (physical|virtual) memory limits"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The system killed a process because memory was short.",
        check: &[
            "Memory limit of the container or host, and who used it up.",
            "Whether work was lost with the process.",
        ],
    },
    Rule {
        error_type: "out-of-memory",
        pattern: concat!(
            r"OutOfMemoryError|\bMemoryError\b|OutOfMemoryException|java heap space|",
            r"GC overhead limit|JavaScript heap out of memory|cannot allocate memory|",
            r"std::bad_alloc|out of memory"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The process ran out of memory.",
        check: &[
            "Heap or container limit against what the process uses over time.",
            "What was loaded at once: one large request, an unbounded cache or queue.",
            "A heap dump, if one was written.",
        ],
    },
    Rule {
        error_type: "garbage-collection-pressure",
        pattern: concat!(
            r"\bGC\b.*(pause|took|overhead)|garbage collect\w* (took|pause)|",
            r"JvmPauseMonitor|detected pause in JVM"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "The garbage collector stopped the program for a noticeable time.",
        check: &["Heap size against live data.", "Allocation rate at that time."],
    },
    Rule {
        error_type: "stack-overflow",
        pattern: concat!(
            r"StackOverflow(Error|Exception)?|maximum call stack size exceeded|",
            r"RecursionError|maximum recursion depth|stack overflow"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A call chain became too deep, usually an endless recursion.",
        check: &["The frames that repeat in the stack trace.", "Cyclic data that the code walks through."],
    },
    Rule {
        error_type: "disk-full",
        pattern: concat!(
            r"no space left on device|disk (is )?full|ENOSPC|DiskOutOfSpace|",
            r"not enough (disk )?space|insufficient disk space|disk quota exceeded"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A disk is full; writes fail.",
        check: &[
            "Which volume is full and what grew.",
            "Log rotation and retention.",
            "Whether half-written files remain.",
        ],
    },
    Rule {
        error_type: "disk-error",
        pattern: concat!(
            r"input/output error|\bEIO\b|I/O error|bad sector|read-only file system|",
            r"DiskErrorException|DiskChecker|disk (failure|error)"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A disk cannot be read or written.",
        check: &["The kernel's log and the disk's health.", "Whether the volume is mounted read-only."],
    },
    Rule {
        error_type: "too-many-open-files",
        pattern: r"too many open files|\bEMFILE\b|\bENFILE\b|file descriptor limit",
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The process has no file handles left.",
        check: &["Connections or files that are never closed.", "The limit (`ulimit -n`)."],
    },
    Rule {
        error_type: "thread-exhaustion",
        pattern: concat!(
            r"unable to create (new )?(native )?thread|RejectedExecution(Exception)?|",
            r"thread pool (is )?(exhausted|full)|can't start new thread|",
            r"maxclients|MaxRequestWorkers|server reached .* setting"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "No thread or worker was free for the task.",
        check: &["What the busy threads wait for.", "Size of the pool and of its queue."],
    },
    Rule {
        error_type: "cpu-overload",
        pattern: concat!(
            r"(cpu|processor) (usage|load).*(high|exceed|above)|load average (is )?(too )?high|",
            r"event loop (is )?(blocked|lag)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "The processor is overloaded.",
        check: &["Which process or thread uses it.", "Whether load grew or code got slower."],
    },
    Rule {
        error_type: "resource-leak",
        pattern: concat!(
            r"(memory|resource|connection|thread) leak|was not (released|closed) before|",
            r"MaxListenersExceeded"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "Something is taken and never given back.",
        check: &["The code path that takes it: is it closed on errors too?"],
    },
];
