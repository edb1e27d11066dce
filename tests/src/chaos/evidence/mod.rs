//! What can be seen from outside when all is quiet: the provider's book, rows, counts.

mod broker;
mod postgres;
mod redis;
mod watch;

use std::time::Instant;

pub use self::broker::BrokerView;
pub use self::postgres::PostgresView;
pub use self::redis::leases;
pub use self::watch::TerminalWatch;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Rows of runs.
    pub runs: Vec<Run>,
    /// Rows of jobs.
    pub jobs: Vec<Job>,
    /// Keys of the current results, as often as there are rows.
    pub results: Vec<Key>,
    /// Rows of events that were not published.
    pub outbox: u64,
    /// Rows of work under way.
    pub live: u64,
    /// Redis keys of leases.
    pub leases: Vec<String>,
    /// Messages on each line.
    pub lines: Vec<(String, u32)>,
    /// Messages that nobody could work with.
    pub dead_letters: u32,
    /// Calls that the provider got.
    pub calls: Vec<Call>,
}

/// A run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// `open`, `running`, `finished`.
    pub state: String,
    /// Its counters.
    pub counts: Counts,
}

/// Jobs of a run by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub jobs: u64,
    /// Succeeded, reused ones included.
    pub succeeded: u64,
    /// Succeeded with another job's result.
    pub reused: u64,
    /// Dead.
    pub dead: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// Tenant, kind and dedup key.
pub type Key = (String, String, String);

/// A job's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its run's id.
    pub run: String,
    /// What it asks for.
    pub key: Key,
    /// The name of its state.
    pub state: String,
    /// Whether it has a result.
    pub has_result: bool,
    /// Whether the result is another job's.
    pub reused: bool,
    /// Class of reason, if it is dead.
    pub dead_reason: Option<String>,
}

impl Job {
    /// Whether its state may not change any more.
    pub fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "dead" | "cancelled")
    }
}

/// A call, as the provider saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Equal for calls that ask for the same.
    pub content: String,
    /// When it had come.
    pub at: Instant,
}
