//! A run's results and facts: as pages, or all of them as a stream of JSON lines.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use fleetline_shared::domain::{JobState, PortError, Registry, RunId};
use fleetline_shared::ports::{JobFilter, JobRow, Page};
use futures_util::stream::try_unfold;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::IntoParams;

use super::caller::Reader;
use super::cursor::page;
use super::params::{Id, Params};
use super::problem::{Problem, ProblemBody};
use super::views::{PageView, job_state};
use super::{App, Shared};
use crate::rows::{ResultRow, fact_rows, result_row, type_of};

const NDJSON: &str = "application/x-ndjson";
/// Jobs in one page: results may be large.
const ROWS: (usize, usize) = (50, 200);
/// Jobs read at once.
const READ_AT_ONCE: usize = 32;

/// Which results to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ResultsParams {
    /// `ready`, `dispatched`, `attached`, `succeeded`, `dead` or `cancelled`.
    state: Option<String>,
    /// `next` of the page before; left out for the first.
    after: Option<String>,
    /// Jobs of one page at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A run's jobs with their results, in the order of the input.
///
/// With `Accept: application/x-ndjson` all of them as JSON lines, the rows of `fleetline results`.
#[utoipa::path(
    get, path = "/v1/runs/{run}/results", tag = "results",
    params(("run" = String, Path, format = Uuid), ResultsParams),
    responses(
        (status = 200, description = "A page, or a stream of all rows.", content(
            (PageView<ResultRow> = "application/json"), (String = "application/x-ndjson")
        )),
        (status = 400, description = "A parameter is unknown or makes no sense.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_results(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<RunId>,
    Params(params): Params<ResultsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = page(params.after.as_deref(), params.limit, ROWS)?;
    let state = job_state(params.state.as_deref()).map_err(Problem::bad_request)?;
    let rows = |kinds: &Registry, job: JobRow| vec![result_row(kinds, job)];
    let filter = of_run(tenant, id, state);
    answer(app, filter, page, &headers, rows).await
}

/// Which facts to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FactsParams {
    /// Only of this element name, or error type.
    r#type: Option<String>,
    /// `next` of the page before; left out for the first.
    after: Option<String>,
    /// Jobs of one page at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What a run found: the facts of its results; of a result without facts, itself.
///
/// `limit` counts jobs, each of which may have many facts or none. With
/// `Accept: application/x-ndjson` all of them as JSON lines, the rows of `fleetline facts --json`.
#[utoipa::path(
    get, path = "/v1/runs/{run}/facts", tag = "results",
    params(("run" = String, Path, format = Uuid), FactsParams),
    responses(
        (status = 200, description = "A page, or a stream of all rows.", content(
            (PageView<Value> = "application/json"), (String = "application/x-ndjson")
        )),
        (status = 400, description = "A parameter is unknown or makes no sense.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_facts(
    State(app): State<Shared>,
    Reader(tenant): Reader,
    Id(id): Id<RunId>,
    Params(params): Params<FactsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = page(params.after.as_deref(), params.limit, ROWS)?;
    let filter = of_run(tenant, id, Some(JobState::Succeeded));
    let rows = move |kinds: &Registry, job: JobRow| {
        let mut facts = fact_rows(kinds, job);
        facts.retain(|fact| params.r#type.as_ref().is_none_or(|wanted| *wanted == type_of(fact)));
        facts
    };
    answer(app, filter, page, &headers, rows).await
}

fn of_run(tenant: String, id: RunId, state: Option<JobState>) -> JobFilter {
    JobFilter { tenant: Some(tenant), run: Some(id), state, with_results: true, ..JobFilter::default() }
}

/// A page of rows, or all of them: as the caller accepts.
async fn answer<T: Serialize + 'static>(
    app: Shared,
    filter: JobFilter,
    page: Page,
    headers: &HeaderMap,
    rows: impl Fn(&Registry, JobRow) -> Vec<T> + Send + 'static,
) -> Result<Response, Problem> {
    if let (Some(tenant), Some(run)) = (&filter.tenant, filter.run) {
        app.run_of(tenant, run).await?;
    }
    if wants_lines(headers) {
        let page = Page { limit: READ_AT_ONCE, ..page };
        return Ok(([(CONTENT_TYPE, NDJSON)], stream(app, filter, page, rows)).into_response());
    }
    Ok(Json(read_page(&app, &filter, page, rows).await?).into_response())
}

/// Reads a few jobs at a time until there are enough, or their rows are as long as a page may be.
async fn read_page<T: Serialize>(
    app: &App,
    filter: &JobFilter,
    page: Page,
    rows: impl Fn(&Registry, JobRow) -> Vec<T>,
) -> Result<PageView<Box<RawValue>>, PortError> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    let Page { mut after, limit: mut left } = page;
    loop {
        let part = Page { after, limit: left.min(READ_AT_ONCE) };
        let jobs = app.ledger.jobs(filter.clone(), part).await?;
        let is_last = jobs.len() < part.limit;
        left -= jobs.len();
        after = jobs.last().map_or(after, |job| job.position);
        for row in jobs.into_iter().flat_map(|job| rows(&app.kinds, job)) {
            let row = to_raw_value(&row).expect("rows are plain JSON");
            bytes += row.get().len();
            items.push(row);
        }
        if is_last || left == 0 || bytes >= app.options.page_bytes {
            let next = (!is_last).then(|| after.to_string());
            return Ok(PageView { items, next });
        }
    }
}

fn wants_lines(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        media.eq_ignore_ascii_case(NDJSON) && !parts.any(is_refusal)
    })
}

/// `q=0`: anything but this.
fn is_refusal(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
}

/// One small page after the other, the next one when the socket has room. An error in between
/// cuts the answer off, so that nobody takes a part for the whole.
fn stream<T: Serialize + 'static>(
    app: Shared,
    filter: JobFilter,
    page: Page,
    rows: impl Fn(&Registry, JobRow) -> Vec<T> + Send + 'static,
) -> Body {
    Body::from_stream(try_unfold((app, filter, page, rows), |(app, filter, mut page, rows)| async move {
        let jobs = read(&app, &filter, page).await?;
        let Some(last) = jobs.last() else { return Ok::<_, PortError>(None) };
        page.after = last.position;
        let mut lines = Vec::new();
        for row in jobs.into_iter().flat_map(|job| rows(&app.kinds, job)) {
            serde_json::to_writer(&mut lines, &row).expect("rows are plain JSON");
            lines.push(b'\n');
        }
        Ok(Some((Bytes::from(lines), (app, filter, page, rows))))
    }))
}

async fn read(app: &App, filter: &JobFilter, page: Page) -> Result<Vec<JobRow>, PortError> {
    app.ledger
        .jobs(filter.clone(), page)
        .await
        .inspect_err(|error| tracing::warn!(%error, "a stream of results was cut off"))
}
