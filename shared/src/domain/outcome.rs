//! What happened in an attempt, and what the ledger does about it.
//! [`crate::rules::decide`] leads from one to the other.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ErasedDone;

/// Why an attempt failed by its own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The handler says it may work next time.
    Retryable,
    /// It took longer than its kind allows.
    Timeout,
    /// The handler panicked.
    Panic,
    /// Its message came back again and again: it, or one beside it, took its workers down.
    Crash,
    /// The handler says it never will.
    Permanent,
    /// The message or its args cannot be read.
    BadPayload,
}

/// What happened in an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It brought a result.
    Success(ErasedDone),
    /// It failed.
    Failed {
        /// In which way.
        class: FailureClass,
        /// What went wrong, for people.
        error: String,
    },
    /// It was not allowed to start, or the upstream said 429: no fault of the job.
    NotNow {
        /// When to try again.
        delay: Duration,
        /// What it waits for.
        why: String,
    },
    /// It may not start, and the last result of its key will do, however old it is.
    Old {
        /// When to try again if there is no such result.
        delay: Duration,
        /// What it would wait for.
        why: String,
    },
    /// The process drains: the job goes back, and no attempt is counted.
    Drained,
    /// Its lease went to another attempt, or the ledger knows a newer dispatch.
    Superseded,
    /// Its run was withdrawn.
    Cancelled,
}

/// What the ledger does about an outcome.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Store the result: terminal.
    Succeed(ErasedDone),
    /// Store the last result of its key as this job's, with its age, even if it is fresh no more:
    /// terminal. No attempt counted. If there is none, do what `otherwise` says.
    Reuse {
        /// Why an old result will do, for people.
        why: String,
        /// To be done without an old result; not a reuse again.
        otherwise: Box<Decision>,
    },
    /// Back to ready after the delay; one attempt counted.
    Retry {
        /// From now, by the ledger's clock.
        delay: Duration,
        /// Why, for people.
        error: String,
    },
    /// Back to ready after the delay; no attempt counted.
    Snooze {
        /// From now, by the ledger's clock.
        delay: Duration,
        /// Why, for people.
        why: String,
    },
    /// Park it: terminal.
    Die {
        /// The class of reason.
        reason: DeadReason,
        /// Why, for people.
        error: String,
    },
    /// Terminal, without a result.
    Cancel,
    /// Write nothing: another attempt owns the job.
    Ignore,
}

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// All attempts failed.
    Exhausted,
    /// It can never work.
    Permanent,
    /// Its message or args cannot be read.
    BadPayload,
    /// Its deadline passed before it could run.
    DeadlinePassed,
    /// It took its process down again and again.
    CrashLoop,
}

impl DeadReason {
    /// The name in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::BadPayload => "bad_payload",
            Self::DeadlinePassed => "deadline_passed",
            Self::CrashLoop => "crash_loop",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
