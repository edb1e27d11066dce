//! The ledger: the one record that decides. Split by who reads and writes.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{BacklogLedger, OfferLedger};
use crate::domain::{
    DeadReason, Decision, DedupKey, Envelope, IfLeft, JobId, JobState, NewJob, NewRun, PortError, RunCounts,
    RunId, RunState, Source, Usage, Weights,
};

/// All of it, for the process that wires the parts together.
pub trait Ledger:
    SubmitLedger + DispatchLedger + FinishLedger + QueryLedger + BacklogLedger + RedriveLedger + CancelLedger
{
}
impl<T> Ledger for T where
    T: SubmitLedger
        + DispatchLedger
        + FinishLedger
        + QueryLedger
        + BacklogLedger
        + RedriveLedger
        + CancelLedger
{
}

/// What a producer writes.
#[async_trait]
pub trait SubmitLedger: Send + Sync {
    /// Opens the run, or finds the one with the same idempotency key: one that is neither finished nor cancelled, or
    /// with [`NewRun::once`] any.
    async fn open_run(&self, run: NewRun) -> Result<OpenedRun, PortError>;

    /// The newest run with this idempotency key, finished or not: what [`open_run`](Self::open_run) finds for a run
    /// that is to be there [`NewRun::once`].
    async fn run_of_key(&self, tenant: &str, key: &str) -> Result<Option<RunId>, PortError>;

    /// Adds jobs in one transaction. A job whose fresh result exists succeeds at once; one whose
    /// twin is live attaches to it; one whose number the run has already is left as it is.
    async fn add_jobs(&self, run: RunId, jobs: Vec<NewJob>) -> Result<Added, PortError>;

    /// Says that somebody reads the input of an open run, and what becomes of the run when this is not said any more:
    /// see [`DispatchLedger::end_left`].
    async fn still_reading(&self, run: RunId, if_left: IfLeft) -> Result<(), PortError>;

    /// Says that the input is read to its end. A run is finished when it is sealed and all its
    /// jobs are terminal.
    async fn seal_run(&self, run: RunId, seal: Seal) -> Result<(), PortError>;

    /// Opens a run, adds all its jobs and seals it in one transaction: all of it is there, or nothing.
    /// One that is there already (see [`open_run`](Self::open_run)) is left as it is. `notes`: as those of
    /// [`Seal`].
    async fn submit_run(&self, run: NewRun, jobs: Vec<NewJob>, notes: Value) -> Result<OpenedRun, PortError>;
}

/// Answer of [`SubmitLedger::open_run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRun {
    /// The run.
    pub id: RunId,
    /// Whether it was there already.
    pub resumed: bool,
}

/// Answer of [`SubmitLedger::add_jobs`]: how many jobs took which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Ready to run.
    pub ready: u64,
    /// Succeeded at once with an earlier result.
    pub reused: u64,
    /// Wait for a live twin.
    pub attached: u64,
    /// Were in the run already.
    pub known: u64,
}

impl std::ops::AddAssign for Added {
    fn add_assign(&mut self, other: Self) {
        self.ready += other.ready;
        self.reused += other.reused;
        self.attached += other.attached;
        self.known += other.known;
    }
}

/// What is known when the input has been read to its end.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    /// Final occurrences of jobs, by number in the run, where they are not those submitted.
    pub occurrences: Vec<(u64, u64)>,
    /// Facts about the reading, for people: lines read, elements found, what was dropped.
    pub notes: Value,
}

/// What the dispatcher and the sweeper write.
#[async_trait]
pub trait DispatchLedger: OfferLedger {
    /// Takes due jobs, raises their fences, and returns their messages. Tenants share what there is for
    /// an upstream by their weights and their jobs' estimated tokens; a tenant's runs take turns. Args above
    /// [`LARGEST_ARGS`](crate::domain::LARGEST_ARGS) are not read.
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError>;

    /// Jobs of the kind in the scope's runs that are handed out and not finished, whether a worker is at them or not.
    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError>;

    /// The messages of those of these jobs that are handed out still, under the fences of their newest dispatches:
    /// as [`dispatch`](Self::dispatch) gave them, with the attempts and the time until the deadline of now. Nothing
    /// changes by it.
    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError>;

    /// Time until the next job of the scope that is not due yet will be; `None`: there is none.
    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError>;

    /// Puts jobs back that were dispatched, or checked by [`FinishLedger::validity`], more than
    /// `older_than` ago and never finished. Their outcome still counts until they are dispatched again.
    /// A job lost `max_losses` times is dead: it takes its process down. So is one that waits for its
    /// dispatch, whatever for, while its deadline passes. Who waits for a twin that ended without a result and
    /// is too late itself dies with it: the oldest that is not takes the place.
    async fn sweep(&self, scope: Scope, older_than: Duration, max_losses: u16) -> Result<Swept, PortError>;

    /// Ends open runs of which nobody has said for so long that their input [is read](SubmitLedger::still_reading):
    /// they are sealed or cancelled, as was said, and their notes say why. Their idempotency keys are free: the same
    /// input again is another run, which shares what is there. Answers how many.
    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError>;

    /// Changes whenever jobs may have become ready or a run finished; see [`News`].
    fn changes(&self) -> watch::Receiver<News>;
}

/// What is new at a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// Jobs were submitted.
    Jobs,
    /// Anything else that may have made jobs ready, or altered when they are due.
    Moves,
    /// A run finished.
    End,
}

impl New {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Moves, Self::End];
}

/// How often each was new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News([u64; New::ALL.len()]);

impl News {
    /// Once more.
    pub fn add(&mut self, new: New) {
        self.0[new as usize] += 1;
    }

    /// Whether it was new since these were the news.
    pub fn has(&self, new: New, since: &Self) -> bool {
        self.0[new as usize] != since.0[new as usize]
    }
}

/// Which runs a process works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// One, and the jobs of other runs that this one's attached jobs wait for.
    Run(RunId),
}

/// A request for work.
#[derive(Clone, Debug)]
pub struct DispatchAsk {
    /// Of which runs.
    pub scope: Scope,
    /// Of which kind.
    pub kind: String,
    /// At most so many.
    pub limit: usize,
    /// Upstreams whose jobs stay where they are: paused, or an open breaker.
    pub skip_upstreams: Vec<String>,
    /// How tenants share a line, if several have work.
    pub weights: Weights,
}

/// Answer of [`DispatchLedger::sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Back to ready.
    pub requeued: u64,
    /// Dead: crash loop.
    pub crash_looped: u64,
    /// Dead: deadline passed.
    pub expired: u64,
}

/// What a worker reads before its call and writes after it.
#[async_trait]
pub trait FinishLedger: Send + Sync {
    /// Whether a call may begin for each dispatch. Asked under the lease and before the call, so that
    /// a redelivered message of a finished job is not paid for again.
    ///
    /// A dispatch of more than `renew_after` ago counts as one of this moment from now on: what a
    /// message waits on its line is no part of the time after which [`DispatchLedger::sweep`] takes
    /// its job for lost. Those of less are only read.
    async fn validity(
        &self,
        dispatches: Vec<(JobId, u64)>,
        renew_after: Duration,
    ) -> Result<Vec<Validity>, PortError>;

    /// A job's args, for messages that were too large to carry them; `None`: there is no such job.
    async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError>;

    /// Records outcomes in one transaction. One that cannot be recorded spoils no other.
    /// The answers are in the order of the finishes; none is given before the commit.
    ///
    /// A dispatch counts until its outcome is recorded, its job is terminal, or there is a newer
    /// dispatch. So a call that outlives a [`DispatchLedger::sweep`] is not paid for twice: its
    /// outcome is recorded as long as the job was not handed out again.
    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError>;
}

/// What a dispatch is still worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is the job's newest, and unfinished: go on.
    Current,
    /// It is, but the job was cancelled meanwhile: finish with [`Decision::Cancel`].
    Withdrawn,
    /// It is, but the job's deadline has passed meanwhile: finish with [`Decision::Die`].
    Expired,
    /// There is a newer dispatch, or the job went back and will be handed out anew, or it is
    /// terminal, or unknown: begin nothing.
    Stale,
}

/// One outcome to record.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The job.
    pub job: JobId,
    /// The dispatch that was worked on.
    pub fence: u64,
    /// What to do.
    pub decision: Decision,
    /// What the attempt used, whatever came of it.
    pub usage: Usage,
}

/// Answer for one [`Finish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Recorded.
    Recorded,
    /// The ledger knows a newer dispatch, an earlier outcome of this one, or a terminal state:
    /// nothing was written.
    Stale,
    /// The ledger cannot hold this one, now or later: nothing was written. The job stays dispatched, and
    /// is swept unless another decision is recorded for it.
    Refused(String),
}

/// What people and reports read.
#[async_trait]
pub trait QueryLedger: Send + Sync {
    /// The newest runs first, from `page.after` on; of one tenant, or of all.
    async fn runs(&self, tenant: Option<&str>, page: Page) -> Result<Vec<RunRow>, PortError>;

    /// One run.
    async fn run(&self, id: RunId) -> Result<Option<RunRow>, PortError>;

    /// Jobs in order of their numbers, from `page.after` on.
    async fn jobs(&self, filter: JobFilter, page: Page) -> Result<Vec<JobRow>, PortError>;

    /// What a listing leaves out of a job.
    async fn job_detail(&self, job: JobId) -> Result<Option<JobDetail>, PortError>;

    /// Whether a fresh result exists for each key of the kind: then the job would cost nothing.
    async fn have_results(
        &self,
        tenant: &str,
        kind: &str,
        keys: Vec<DedupKey>,
    ) -> Result<Vec<bool>, PortError>;
}

/// What a listing leaves out of a job.
#[derive(Clone, Debug, Serialize)]
pub struct JobDetail {
    /// The kind's args, as they were submitted.
    pub args: Box<RawValue>,
    /// Its failed attempts, oldest first.
    pub attempts: Vec<FailedAttempt>,
}

/// An attempt that failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailedAttempt {
    /// The dispatch it belonged to.
    pub fence: u64,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: i64,
    /// Why it failed.
    pub error: String,
}

/// A run with its counters.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    /// Position in listings; for [`Page::after`].
    #[serde(skip)]
    pub position: i64,
    /// The run.
    pub id: RunId,
    /// Whose it is.
    pub tenant: String,
    /// Name of its pipeline.
    pub pipeline: String,
    /// Name of its input.
    pub input: String,
    /// How far it is.
    pub state: RunState,
    /// The settings that made it.
    pub settings: Value,
    /// What the reader noted at the end of the input.
    pub notes: Value,
    /// Its counters.
    pub counts: RunCounts,
    /// Milliseconds since 1970, by the ledger's clock.
    pub created_at_ms: i64,
    /// The same for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at_ms: Option<i64>,
    /// The same for its cancelling: from then on it takes no more jobs, and those under way end with their attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at_ms: Option<i64>,
}

/// Which jobs to list. `None` and `false`: no restriction.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
    /// This one.
    pub job: Option<JobId>,
    /// Whose id ends with these hexadecimal digits, without dashes: the last ones are what people see.
    pub ends_in: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Also read result and facts, which may be large.
    pub with_results: bool,
}

/// A part of a long listing.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Position of the last row seen ([`JobRow::position`], [`RunRow::position`]); 0 for the start.
    pub after: i64,
    /// Rows at most.
    pub limit: usize,
}

impl RunRow {
    /// Whether it was cancelled and is not over yet: nothing of it begins any more, and what is under way ends with its
    /// attempt.
    pub fn is_cancelling(&self) -> bool {
        self.cancelled_at_ms.is_some() && self.finished_at_ms.is_none()
    }
}

impl Page {
    /// The first one, of so many rows.
    pub fn first(limit: usize) -> Self {
        Self { after: 0, limit }
    }
}

/// A job as listed.
#[derive(Clone, Debug, Serialize)]
pub struct JobRow {
    /// Position in listings; for [`Page::after`].
    #[serde(skip)]
    pub position: i64,
    /// The job.
    pub job_id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Name of its kind.
    pub kind: String,
    /// Says which jobs ask for the same thing.
    pub dedup_key: DedupKey,
    /// How far it is.
    pub state: JobState,
    /// Events of the input it stands for.
    pub occurrences: u64,
    /// Whether its result was another job's.
    pub reused: bool,
    /// Which job's attempt made the result, if it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_of: Option<JobId>,
    /// Which analyser made the result.
    pub analyser: Option<String>,
    /// Which model.
    pub model: Option<String>,
    /// Where in the input it came from.
    pub source: Source,
    /// The result, as stored: it may have numbers and levels that no [`Value`] can hold.
    pub output: Option<Box<RawValue>>,
    /// The result's facts, as stored.
    #[serde(skip)]
    pub facts: Vec<Value>,
    /// What its own attempts used.
    pub usage: Usage,
    /// Counted attempts.
    pub attempts: u16,
    /// Why it is dead, why its last attempt failed, or for what reason it got something else than
    /// a fresh result.
    pub error: Option<String>,
    /// Class of reason, if it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<DeadReason>,
    /// In which run it was sent again, if it is dead and was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_again_in: Option<RunId>,
}

impl JobRow {
    /// The result as a value. `None`: there is none, or no value can hold it.
    pub fn output_value(&self) -> Option<Value> {
        serde_json::from_str(self.output.as_ref()?.get()).ok()
    }
}

/// Work that is not wanted any more.
#[async_trait]
pub trait CancelLedger: Send + Sync {
    /// Cancels jobs of the tenant: those that wait are cancelled at once, and the oldest that is
    /// attached to one takes its place. Those handed out are cancelled before their call or after an
    /// attempt that would be tried again; a call under way is paid for, so its success is recorded, but
    /// nothing follows from it, except for a run that waits for the same thing. Terminal jobs stay as they
    /// are. A cancelled run takes no more jobs. A run or job that is not the tenant's is
    /// [`PortError::Invalid`].
    async fn cancel(&self, tenant: &str, which: CancelJobs) -> Result<Cancelled, PortError>;

    /// Waits until all that waited for the same things as cancelled jobs have their places, where that goes on in the
    /// background. A process that ends before leaves the rest to a sweep, a minute later.
    async fn settled(&self) {}
}

/// What to cancel.
#[derive(Clone, Copy, Debug)]
pub enum CancelJobs {
    /// One job.
    Job(JobId),
    /// All of a run.
    Run(RunId),
}

/// Answer of [`CancelLedger::cancel`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// Cancelled at once.
    pub cancelled: u64,
    /// Handed out: they end with their attempt.
    pub under_way: u64,
}

impl std::ops::AddAssign for Cancelled {
    fn add_assign(&mut self, more: Self) {
        self.cancelled += more.cancelled;
        self.under_way += more.under_way;
    }
}

/// Dead jobs sent again.
#[async_trait]
pub trait RedriveLedger: Send + Sync {
    /// Makes new jobs of dead ones, in a run of its own: terminal states never change, so the
    /// dead rows stay, marked as redriven. Returns how many; jobs redriven before are skipped. An error says
    /// how many are sent again nevertheless: the run is sealed with these, and another redrive takes the others.
    async fn redrive(&self, which: DeadJobs, into: NewRun) -> Result<u64, PortError>;
}

/// Which dead jobs.
#[derive(Clone, Debug)]
pub enum DeadJobs {
    /// These.
    Jobs(Vec<JobId>),
    /// All of a run.
    Run(RunId),
    /// All.
    All,
}
