//! `/v1/upstreams` and `/v1/jobs/{job}/explain`: how things stand, and why something waits.

use axum::Json;
use axum::extract::State;
use fleetline_shared::domain::JobId;

use super::Shared;
use super::caller::{Admin, Reader};
use super::jobs::no_job;
use super::params::{Id, NoParams};
use super::problem::{Problem, ProblemBody};
use crate::insight::{Explanation, Unknown, UpstreamsView};

/// All upstreams of the fleet: limits, use, pauses, and what waits for them.
///
/// What cannot be asked now stands in `unknown`; the rest is told all the same. It is about all
/// tenants, so it needs the role `admin`.
#[utoipa::path(
    get, path = "/v1/upstreams", tag = "insight",
    responses((status = 200, body = UpstreamsView))
)]
pub(super) async fn get_upstreams(
    State(app): State<Shared>,
    _: Admin,
    _: NoParams,
) -> Result<Json<UpstreamsView>, Problem> {
    let view = app.insight.upstreams().await?;
    Ok(Json(UpstreamsView { unknown: without_details(view.unknown), ..view }))
}

/// What a job waits for, and when it is expected to run, with reasons.
#[utoipa::path(
    get, path = "/v1/jobs/{job}/explain", tag = "insight",
    params(("job" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = Explanation),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain_job(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<JobId>,
    _: NoParams,
) -> Result<Json<Explanation>, Problem> {
    let explanation = app.insight.explain(id, Some(&tenant)).await?.ok_or_else(|| no_job(id))?;
    Ok(Json(Explanation { unknown: without_details(explanation.unknown), ..explanation }))
}

/// Details are for the log: they may tell of the servers behind.
fn without_details(unknown: Vec<Unknown>) -> Vec<Unknown> {
    let logged = |Unknown { what, error }| {
        tracing::warn!(error, what, "something could not be asked");
        Unknown { what, error: None }
    };
    unknown.into_iter().map(logged).collect()
}
