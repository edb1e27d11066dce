//! `/v1/runs`: looking at runs, and cancelling them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fleetline_shared::domain::RunId;
use fleetline_shared::ports::{CancelJobs, JobFilter, JobRow, RunRow};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::caller::{Reader, Submitter};
use super::cursor::{next, page};
use super::params::{Id, NoParams, Params};
use super::problem::{Problem, ProblemBody};
use super::views::{CancelledView, PageView, RunView, job_state};
use super::{App, Shared};

/// Runs in one page, if nothing is said, and at most.
const RUNS: (usize, usize) = (50, 1_000);
/// Jobs in one page.
const JOBS: (usize, usize) = (100, 1_000);

impl App {
    /// The tenant's run. Another's is as good as none.
    pub(super) async fn run_of(&self, tenant: &str, id: RunId) -> Result<RunRow, Problem> {
        let run = self.ledger.run(id).await?.filter(|run| run.tenant == tenant);
        run.ok_or_else(|| Problem::not_found(format!("there is no run {id}")))
    }
}

/// Which runs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsParams {
    /// `next` of the page before; left out for the first.
    after: Option<String>,
    /// Runs of one page at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The newest runs first.
///
/// A page goes on where the one before ended: runs that are opened meanwhile are on the first.
#[utoipa::path(
    get, path = "/v1/runs", tag = "runs", 
    params(RunsParams),
    responses(
        (status = 200, body = PageView<RunView>),
        (status = 400, description = "A parameter is unknown or makes no sense.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_runs(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Params(params): Params<RunsParams>,
) -> Result<Json<PageView<RunView>>, Problem> {
    let page = page(params.after.as_deref(), params.limit, RUNS)?;
    let runs = app.ledger.runs(Some(&tenant), page).await?;
    let next = next(page, runs.len(), runs.last().map(|run| run.position));
    Ok(Json(PageView { items: runs.into_iter().map(RunView::from).collect(), next }))
}

/// One run with its counters.
#[utoipa::path(
    get, path = "/v1/runs/{run}", tag = "runs", params(("run" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = RunView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_run(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<RunId>,
    _: NoParams,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(app.run_of(&tenant, id).await?.into()))
}

/// Which jobs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsParams {
    /// `ready`, `dispatched`, `attached`, `succeeded`, `dead` or `cancelled`.
    state: Option<String>,
    /// `next` of the page before; left out for the first.
    after: Option<String>,
    /// Jobs of one page at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A run's jobs in the order of the input, without args and results.
#[utoipa::path(
    get, path = "/v1/runs/{run}/jobs", tag = "runs",
    params(("run" = String, Path, format = Uuid), JobsParams),
    responses(
        (status = 200, description = "Rows as of `fleetline jobs --json`.", body = PageView<Value>),
        (status = 400, description = "A parameter is unknown or makes no sense.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_jobs(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<RunId>,
    Params(params): Params<JobsParams>,
) -> Result<Json<PageView<JobRow>>, Problem> {
    let page = page(params.after.as_deref(), params.limit, JOBS)?;
    let state = job_state(params.state.as_deref()).map_err(Problem::bad_request)?;
    app.run_of(&tenant, id).await?;
    let filter = JobFilter { tenant: Some(tenant), run: Some(id), state, ..JobFilter::default() };
    let items = app.ledger.jobs(filter, page).await?;
    let next = next(page, items.len(), items.last().map(|job| job.position));
    Ok(Json(PageView { items, next }))
}

/// Cancels a run: what waits ends at once, what is handed out ends with its attempt.
#[utoipa::path(
    post, path = "/v1/runs/{run}/cancel", tag = "runs", params(("run" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = CancelledView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel_run(
    State(app): State<Shared>,
    Submitter(tenant): Submitter,
    Id(id): Id<RunId>,
    _: NoParams,
) -> Result<Json<CancelledView>, Problem> {
    app.run_of(&tenant, id).await?;
    // A long one outlives its client's patience.
    let ledger = Arc::clone(&app.ledger);
    let cancelling = app.submissions.spawn(async move { ledger.cancel(&tenant, CancelJobs::Run(id)).await });
    let cancelled = cancelling.await.map_err(|error| {
        tracing::error!(%error, "a cancellation stopped");
        Problem::internal()
    })??;
    Ok(Json(cancelled.into()))
}
