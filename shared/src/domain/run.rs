//! Runs: one submission and its counters.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RunId, Usage};

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Jobs are still being added.
    Open,
    /// All jobs are known; some are not terminal.
    Running,
    /// Every job is terminal.
    Finished,
}

impl RunState {
    /// The name in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Running => "running",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A run to be opened.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The id to give it, if it is new.
    pub id: RunId,
    /// Whose it is. Results are shared within a tenant only.
    pub tenant: String,
    /// Name of the pipeline that makes its jobs.
    pub pipeline: String,
    /// Name of the input, for people.
    pub input: String,
    /// Same key and tenant, and not yet finished: the same run goes on.
    pub idempotency_key: Option<String>,
    /// A finished run of that key is the same run too: for clients that repeat a request of which
    /// they don't know whether it was accepted.
    pub once: bool,
    /// The settings that made it, for people and for resuming.
    pub settings: Value,
}

/// What becomes of an open run when whoever reads its input is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLeft {
    /// It is sealed: what was accepted is worked off.
    Sealed,
    /// It is cancelled: nobody was told that any of it was accepted.
    Cancelled,
}

/// Counters of a run; kept in the same transactions as the jobs they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// All jobs.
    pub jobs: u64,
    /// Events of the input that the jobs stand for.
    pub occurrences: u64,
    /// Terminal: with a result, reused ones included.
    pub succeeded: u64,
    /// Succeeded without an attempt of their own: an earlier result or a twin's.
    pub reused: u64,
    /// Terminal: parked.
    pub dead: u64,
    /// Terminal: withdrawn.
    pub cancelled: u64,
    /// Counted attempts that failed and were tried again.
    pub retries: u64,
    /// What the run's own attempts used.
    pub usage: Usage,
}

impl RunCounts {
    /// Jobs in a terminal state.
    pub fn terminal(&self) -> u64 {
        self.succeeded + self.dead + self.cancelled
    }
}
