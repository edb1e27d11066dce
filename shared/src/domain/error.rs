//! Errors by who must act on them: a job's handler, or an adapter.

use std::time::Duration;

use thiserror::Error;

/// What a handler answers when it has no result. The engine decides what follows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JobError {
    /// May work next time: a dropped connection, a 5xx, malformed output.
    #[error("{0}")]
    Retryable(String),
    /// Will never work: a refused request, a wrong key, an input nobody can read.
    #[error("{0}")]
    Permanent(String),
    /// The upstream says it is too much. Costs no attempt; pauses the upstream.
    #[error("{message}")]
    RateLimited {
        /// How long the upstream asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// What it said.
        message: String,
    },
    /// Not now, for a reason of the job's own. Costs no attempt.
    #[error("{why}")]
    Snooze {
        /// When to try again.
        delay: Duration,
        /// Why, for people.
        why: String,
    },
    /// This process is not set up for it, and another one may be. Costs no attempt where there are others;
    /// where there are none, it will never work. Says what to set up.
    #[error("{0}")]
    NotHere(String),
}

/// What an adapter answers when it could not do its part.
#[derive(Clone, Debug, Error)]
pub enum PortError {
    /// The server or file cannot be reached now; the caller may try again.
    #[error("{port} is unavailable: {message}")]
    Unavailable {
        /// Which part: `ledger`, `broker`, `leases`, `quotas`.
        port: &'static str,
        /// What happened, and what to do.
        message: String,
    },
    /// The caller asked for something that cannot be.
    #[error("{port}: {message}")]
    Invalid {
        /// Which part.
        port: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The part broke: a corrupt file, a full disk, a bug.
    #[error("{port} failed: {message}")]
    Broken {
        /// Which part.
        port: &'static str,
        /// What happened, and what to do.
        message: String,
    },
}
