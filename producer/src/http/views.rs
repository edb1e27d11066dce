//! What answers show of runs and jobs: the wire format, so additions only.

use fleetline_shared::domain::{DeadReason, JobState, RunCounts, RunId, RunState, Usage};
use fleetline_shared::ports::{Cancelled, FailedAttempt, JobDetail, JobRow, RunRow};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::rows::ResultRow;

/// A run with its counters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Run")]
pub(super) struct RunView {
    /// The run.
    #[schema(value_type = String, format = Uuid)]
    pub(super) id: RunId,
    /// `open` (jobs are being added), `running`, or `finished` (every job is terminal).
    #[schema(value_type = String, example = "running")]
    pub(super) state: RunState,
    /// `discovery`, `logs`, `jobs`, ...
    pub(super) pipeline: String,
    /// Name of the input.
    pub(super) input: String,
    /// Its counters.
    pub(super) counts: CountsView,
    /// Milliseconds since 1970.
    pub(super) created_at_ms: i64,
    /// The same for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished_at_ms: Option<i64>,
    /// The same for its cancelling: nothing of it begins any more, and jobs under way, the ones that are not terminal
    /// yet, end with their attempt. Then it is `finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancelled_at_ms: Option<i64>,
    /// The settings that made it.
    #[schema(value_type = Object)]
    pub(super) settings: Value,
    /// What the reader noted at the end of the input; null before that.
    #[schema(value_type = Option<Object>, required = true)]
    pub(super) notes: Value,
    /// Of an upload: whether an earlier request with the same idempotency key made the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeated: Option<bool>,
    /// Why the input was not read to its end, if what came before is kept, or the run was ended for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

impl From<RunRow> for RunView {
    fn from(row: RunRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            pipeline: row.pipeline,
            input: row.input,
            counts: row.counts.into(),
            created_at_ms: row.created_at_ms,
            finished_at_ms: row.finished_at_ms,
            cancelled_at_ms: row.cancelled_at_ms,
            problem: row.notes["error"].as_str().map(ToOwned::to_owned),
            settings: row.settings,
            notes: row.notes,
            repeated: None,
        }
    }
}

/// Counters of a run.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(title = "Counts")]
pub(super) struct CountsView {
    /// All jobs.
    jobs: u64,
    /// Events of the input that the jobs stand for.
    occurrences: u64,
    /// Terminal: with a result, reused ones included.
    succeeded: u64,
    /// Succeeded with an earlier result or a twin's.
    reused: u64,
    /// Terminal: parked with a reason.
    dead: u64,
    /// Terminal: withdrawn.
    cancelled: u64,
    /// Counted attempts that failed and were tried again.
    retries: u64,
    /// What the run's own attempts used.
    #[schema(value_type = Object, example = json!({ "calls": 12, "input_tokens": 9744, "output_tokens": 1968 }))]
    usage: Usage,
}

impl From<RunCounts> for CountsView {
    fn from(counts: RunCounts) -> Self {
        let RunCounts { jobs, occurrences, succeeded, reused, dead, cancelled, retries, usage } = counts;
        Self { jobs, occurrences, succeeded, reused, dead, cancelled, retries, usage }
    }
}

/// One job, whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Job")]
pub(super) struct JobView {
    #[serde(flatten)]
    row: ResultRow,
    /// Which job's attempt made the result, if it was another.
    #[schema(value_type = Option<String>, format = Uuid)]
    result_of: Option<String>,
    /// Counted attempts.
    attempts: u16,
    /// Class of reason, if it is dead.
    #[schema(value_type = Option<String>, example = "exhausted")]
    dead_reason: Option<&'static str>,
    /// In which run it was sent again, if it is dead and was.
    #[schema(value_type = Option<String>, format = Uuid)]
    sent_again_in: Option<String>,
    /// The kind's args, as they were submitted.
    #[schema(value_type = Object)]
    args: Box<RawValue>,
    /// Its failed attempts, oldest first: `fence`, `at_ms`, `error`.
    #[schema(value_type = Vec<Object>)]
    failed_attempts: Vec<FailedAttempt>,
}

impl JobView {
    /// Of a job whose row and detail were read.
    pub(super) fn new(row: ResultRow, job: &JobRow, detail: JobDetail) -> Self {
        Self {
            row,
            result_of: job.result_of.map(|id| id.to_string()),
            attempts: job.attempts,
            dead_reason: job.dead_reason.map(DeadReason::as_str),
            sent_again_in: job.sent_again_in.map(|run| run.to_string()),
            args: detail.args,
            failed_attempts: detail.attempts,
        }
    }
}

/// A part of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageView<T> {
    /// The rows.
    pub(super) items: Vec<T>,
    /// For `after` of the next page; null at the end.
    pub(super) next: Option<String>,
}

/// What a cancelling did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Cancelled", example = json!({ "cancelled": 12, "under_way": 2 }))]
pub(super) struct CancelledView {
    /// Jobs that were cancelled at once.
    cancelled: u64,
    /// Jobs that were handed out: they end with their attempt.
    under_way: u64,
}

impl From<Cancelled> for CancelledView {
    fn from(Cancelled { cancelled, under_way }: Cancelled) -> Self {
        Self { cancelled, under_way }
    }
}

/// A state in a query string.
pub(super) fn job_state(text: Option<&str>) -> Result<Option<JobState>, String> {
    text.map(str::parse).transpose()
}
