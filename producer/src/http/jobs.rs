//! `/v1/jobs`: single jobs.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use fleetline_shared::domain::{JobId, RunId};
use fleetline_shared::ports::{CancelJobs, JobFilter, JobRow, Page};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::body::read_json;
use super::caller::{Reader, Submitter};
use super::params::{Id, IdempotencyKey, NoParams};
use super::problem::{Problem, ProblemBody};
use super::views::{CancelledView, JobView};
use crate::intake::{Accepted, JobRequest, NewJobs, read_requests, submit_jobs};
use crate::rows::result_row;

/// For the document: what `read_requests` reads.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "of the schema alone")]
pub(super) enum OneOrMore {
    More(Vec<JobRequest>),
    One(JobRequest),
}

/// Submits one job, or an array of them: all are accepted as one run, or none.
///
/// With an idempotency key the same request again is answered with the same run.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key, same run. 1 to 255 characters.")),
    request_body(content = OneOrMore, description = "An array of jobs, or one job."),
    responses(
        (status = 202, description = "Accepted: each job will reach one terminal state.", body = Accepted,
         headers(("Location" = String, description = "Path of the run"))),
        (status = 400, description = "No JSON: `line` and `column` say where; or a body that broke off; or an unknown query parameter.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key stands for other jobs.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not `application/json`, or is compressed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Some jobs cannot be; `errors` lists the problems, the first 100. None was accepted.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_jobs(
    State(app): State<Shared>,
    Submitter(tenant): Submitter,
    _: NoParams,
    IdempotencyKey(key): IdempotencyKey,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let body = read_json(&headers, body, &app.options).await?;
    let requests = read_requests(&body, &app.options.jobs)?;
    drop(body);
    let has_key = key.is_some();
    let new = NewJobs { id: RunId::new(), tenant: &tenant, idempotency_key: key };
    let accepted = submit_jobs(&*app.ledger, &app.kinds, &app.options.jobs, new, &requests)
        .await
        .map_err(|rejected| Problem::of_jobs(rejected, has_key))?;
    let location = format!("/v1/runs/{}", accepted.run_id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(accepted)))
}

/// One job with its args, failed attempts and result.
#[utoipa::path(
    get, path = "/v1/jobs/{job}", tag = "jobs",
    params(("job" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = JobView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_job(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<JobId>,
    _: NoParams,
) -> Result<Json<JobView>, Problem> {
    let job = find_job(&app, tenant, id).await?;
    let detail = app.ledger.job_detail(id).await?.ok_or_else(|| no_job(id))?;
    let row = result_row(&app.kinds, job.clone());
    Ok(Json(JobView::new(row, &job, detail)))
}

/// Cancels a job. One that is handed out ends with its attempt; a terminal one stays as it is.
#[utoipa::path(
    post, path = "/v1/jobs/{job}/cancel", tag = "jobs",
    params(("job" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = CancelledView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel_job(
    State(app): State<Shared>,
    Submitter(tenant): Submitter,
    Id(id): Id<JobId>,
    _: NoParams,
) -> Result<Json<CancelledView>, Problem> {
    let job = find_job(&app, tenant.clone(), id).await?;
    let cancelled = app.ledger.cancel(&tenant, CancelJobs::Job(job.job_id)).await?;
    Ok(Json(cancelled.into()))
}

async fn find_job(app: &Shared, tenant: String, id: JobId) -> Result<JobRow, Problem> {
    let filter =
        JobFilter { tenant: Some(tenant), job: Some(id), with_results: true, ..JobFilter::default() };
    let mut found = app.ledger.jobs(filter, Page { after: 0, limit: 1 }).await?;
    found.pop().ok_or_else(|| no_job(id))
}

pub(super) fn no_job(id: JobId) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}
