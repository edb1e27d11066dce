//! How much waits, and how one job stands: for people, dashboards and estimates.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{DedupKey, Estimate, JobId, JobState, PortError, RunId};

/// What waits in the ledger.
#[async_trait]
pub trait BacklogLedger: Send + Sync {
    /// Jobs that are not terminal, for each upstream and kind that has any, in this order. It
    /// counts them all, so its cost grows with the backlog: for people, and for looks every few
    /// seconds.
    async fn backlog(&self) -> Result<Vec<Backlog>, PortError>;

    /// How a job stands; `None`: there is no such job. Its cost grows with the backlog of its
    /// upstream.
    async fn standing(&self, job: JobId) -> Result<Option<JobStanding>, PortError>;
}

/// Jobs of one kind that call one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    /// The upstream; `None`: they call nobody.
    pub upstream: Option<String>,
    /// The kind.
    pub kind: String,
    /// May be handed out now.
    pub due: u64,
    /// Ready, but only later: they wait for quota or for their next attempt.
    pub later: u64,
    /// Handed out, without an outcome yet.
    pub dispatched: u64,
    /// Wait for a twin's result: they cost nothing.
    pub attached: u64,
    /// Tokens of a job, estimated: a mean over some of those that are ready, 0 without any.
    pub tokens: f64,
}

/// How one job stands. Times are from now on, by the ledger's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStanding {
    /// The job.
    pub job: JobId,
    /// Its run.
    pub run: RunId,
    /// Whose it is.
    pub tenant: String,
    /// Its kind.
    pub kind: String,
    /// Whom it calls.
    pub upstream: Option<String>,
    /// What it asks for.
    pub dedup_key: DedupKey,
    /// What its call is expected to use.
    pub estimate: Estimate,
    /// How far it is.
    pub state: JobState,
    /// Counted attempts.
    pub attempts: u16,
    /// How many it may have.
    pub max_attempts: u16,
    /// Why it waits, why its last attempt failed, or why it is dead: what was recorded last.
    pub error: Option<String>,
    /// The time until it may be handed out, if it is ready and that time has not come.
    pub due_in: Option<Duration>,
    /// How long ago it was handed out, if it is; or taken, where its message had waited for long.
    pub dispatched: Option<Duration>,
    /// Time until its deadline.
    pub deadline_in: Option<Duration>,
    /// Whether it was cancelled while it was handed out.
    pub withdrawn: bool,
    /// The job whose result it waits for.
    pub twin: Option<JobId>,
    /// Of a ready job: how many due jobs of its lane (same run, kind and upstream) go before it.
    pub ahead: u64,
    /// Of a ready job: how many other lanes of its tenant, kind and upstream have due jobs; they take
    /// turns.
    pub lanes: u64,
    /// Of a ready job: how many due jobs of those lanes go before it, if each lane has one turn
    /// after the other.
    pub turns: u64,
    /// Of a ready job: other tenants with due jobs of its kind and upstream, by name, and how many.
    /// They take turns by their weights.
    pub rivals: Vec<(String, u64)>,
}
