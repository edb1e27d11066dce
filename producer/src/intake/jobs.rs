//! Single jobs on their way into the ledger: a run of their own, all of them or none.

use fleetline_shared::domain::{JobId, JobState, NewJob, NewRun, PortError, Registry, RunId, Source};
use fleetline_shared::ports::{JobFilter, JobRow, Ledger, OpenedRun, Page};
use fleetline_shared::rules::canonical_json;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::check::check_all;
use super::problems::JobProblem;
use super::requests::{JobLimits, JobRequests};

/// Name of the pipeline that these runs have.
pub const PIPELINE: &str = "jobs";
/// Where a run's settings hold the hash of what was submitted.
pub(super) const CONTENT: &str = "content";

/// What a request's run will be.
#[derive(Clone, Debug)]
pub struct NewJobs<'a> {
    /// Its id, if it is not one that there is already.
    pub id: RunId,
    /// Whose it will be.
    pub tenant: &'a str,
    /// The same key is the same run.
    pub idempotency_key: Option<String>,
}

/// A request that was accepted: its jobs will reach a terminal state each.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// The run.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// Whether an earlier request with the same idempotency key made it.
    pub repeated: bool,
    /// Its jobs, in the order of the request.
    pub jobs: Vec<AcceptedJob>,
}

/// A job that was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AcceptedJob {
    /// Its number in the request, from 0.
    pub index: usize,
    /// The job.
    #[schema(value_type = String, format = Uuid)]
    pub job_id: JobId,
    /// How far it is: `succeeded` at once if its result was there, `attached` to a live twin.
    #[schema(value_type = String, example = "ready")]
    pub state: JobState,
}

/// Why a request was not accepted. Nothing of it was.
#[derive(Debug)]
pub enum Rejected {
    /// Every problem of every job.
    Invalid(Vec<JobProblem>),
    /// The idempotency key stands for something else already.
    Conflict(String),
    /// The ledger could not do it. The same request with the same key may be sent again.
    Ledger(PortError),
}

impl From<PortError> for Rejected {
    fn from(error: PortError) -> Self {
        Self::Ledger(error)
    }
}

/// Checks all requests, then accepts all of them as one run.
///
/// With an idempotency key the same requests again are the same run, also after its end, and whatever the settings
/// by which they would be checked now. Without one, whoever tries again after a fault gives the same `id`.
pub async fn submit_jobs(
    ledger: &dyn Ledger,
    kinds: &Registry,
    limits: &JobLimits,
    new: NewJobs<'_>,
    requests: &JobRequests,
) -> Result<Accepted, Rejected> {
    let jobs = match check_all(requests, kinds, limits) {
        Ok(jobs) => jobs,
        Err(problems) => {
            let before = accepted_before(ledger, &new, requests).await?;
            return before.ok_or(Rejected::Invalid(problems));
        }
    };
    let content = content_hash(requests)?;
    let NewJobs { id, tenant, idempotency_key } = new;
    let run = NewRun {
        id,
        tenant: tenant.to_owned(),
        pipeline: PIPELINE.to_owned(),
        input: input_name(&jobs),
        once: idempotency_key.is_some(),
        idempotency_key,
        settings: json!({ "pipeline": PIPELINE, CONTENT: content }),
    };
    let count = jobs.len();
    let opened = ledger.submit_run(run, jobs, json!({ "jobs": count })).await?;
    if opened.resumed {
        same_content(ledger, opened.id, PIPELINE, &content).await?;
    }
    accepted(ledger, opened, count).await
}

/// The same requests as they were accepted by other settings: their jobs run, whatever holds now. One that passes
/// the check is found where its run would be made, without another look.
async fn accepted_before(
    ledger: &dyn Ledger,
    new: &NewJobs<'_>,
    requests: &JobRequests,
) -> Result<Option<Accepted>, Rejected> {
    let Some(key) = new.idempotency_key.as_ref().filter(|_| requests.are_whole()) else { return Ok(None) };
    let Some(id) = ledger.run_of_key(new.tenant, key).await? else { return Ok(None) };
    same_content(ledger, id, PIPELINE, &content_hash(requests)?).await?;
    accepted(ledger, OpenedRun { id, resumed: true }, requests.read.len()).await.map(Some)
}

async fn accepted(ledger: &dyn Ledger, opened: OpenedRun, count: usize) -> Result<Accepted, Rejected> {
    let rows = read_back(ledger, opened.id, count).await?;
    if rows.len() < count {
        return Err(left_unfinished(opened.id));
    }
    let job = |(index, row): (usize, JobRow)| AcceptedJob { index, job_id: row.job_id, state: row.state };
    let jobs = rows.into_iter().enumerate().map(job).collect();
    Ok(Accepted { run_id: opened.id, repeated: opened.resumed, jobs })
}

/// For people: what the run is about.
fn input_name(jobs: &[NewJob]) -> String {
    match jobs {
        [only] => format!("1 job of {}", only.kind),
        jobs if jobs.iter().all(|job| job.kind == jobs[0].kind) => {
            format!("{} jobs of {}", jobs.len(), jobs[0].kind)
        }
        jobs => format!("{} jobs", jobs.len()),
    }
}

/// The same for requests that ask for the same.
fn content_hash(requests: &JobRequests) -> Result<String, Rejected> {
    let unreadable = |what: String| Rejected::Invalid(vec![JobProblem::new(0, "", what)]);
    let mut hasher = blake3::Hasher::new();
    for (_, request) in &requests.read {
        let json = serde_json::value::to_raw_value(request).map_err(|error| unreadable(error.to_string()))?;
        hasher.update(canonical_json(&json).map_err(unreadable)?.as_bytes());
        hasher.update(b"\n");
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// An idempotency key stands for one content.
pub(super) async fn same_content(
    ledger: &dyn Ledger,
    run: RunId,
    pipeline: &str,
    content: &str,
) -> Result<(), Rejected> {
    let row = ledger.run(run).await?;
    let same = row.is_some_and(|row| row.pipeline == pipeline && row.settings[CONTENT] == content);
    if same {
        return Ok(());
    }
    Err(Rejected::Conflict(format!(
        "the idempotency key stands for run {run}, which was made of something else: use a new key for a new \
         request"
    )))
}

/// Versions that submitted a request in several transactions could die between them.
fn left_unfinished(run: RunId) -> Rejected {
    Rejected::Conflict(format!(
        "the idempotency key stands for run {run}, which an earlier version began and never filled: cancel \
         it, and use a new key"
    ))
}

/// The jobs of the request. Jobs are listed by number; those that others brought forth come later.
async fn read_back(ledger: &dyn Ledger, run: RunId, count: usize) -> Result<Vec<JobRow>, PortError> {
    let filter = JobFilter { run: Some(run), ..JobFilter::default() };
    let mut rows: Vec<JobRow> = Vec::with_capacity(count);
    let mut page = Page { after: 0, limit: count };
    while rows.len() < count {
        let more = ledger.jobs(filter.clone(), page).await?;
        let Some(last) = more.last() else { break };
        page.after = last.position;
        rows.extend(more.into_iter().filter(|row| !matches!(row.source, Source::FollowUp { .. })));
    }
    rows.truncate(count);
    Ok(rows)
}
