//! The ledger and the faults.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;

use super::State;
use crate::faults::parse_script;
use crate::ledger::Summary;

/// Calls that are written while others wait for the lock.
const PAGE: usize = 1_000;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// What of the ledger is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    summary: Option<String>,
    #[serde(default)]
    after: u64,
}

pub(super) async fn ledger(Shared(state): Shared<Arc<State>>, Query(wanted): Query<Wanted>) -> Response {
    if wanted.summary.is_some() {
        return Json(summary(&state)).into_response();
    }
    let lines = stream::unfold((state, wanted.after), |(state, after)| async move {
        let (lines, last) = page(&state, after);
        (!lines.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::from(lines)), (state, last)))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn summary(state: &State) -> Summary {
    let limits = state.options.limits;
    state.books().ledger.summary([limits.requests, limits.tokens].map(|rate| rate.map(|rate| rate.window)))
}

/// The lines after a call, and the number of the last one.
fn page(state: &State, after: u64) -> (Vec<u8>, u64) {
    // Copied under the lock, written without it.
    let entries: Vec<_> = state.books().ledger.page(after, PAGE).cloned().collect();
    let mut lines = Vec::new();
    for entry in &entries {
        serde_json::to_writer(&mut lines, entry).expect("an entry is JSON");
        lines.push(b'\n');
    }
    (lines, entries.last().map_or(after, |entry| entry.seq))
}

pub(super) async fn clear_ledger(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.books().ledger.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn faults(Shared(state): Shared<Arc<State>>) -> String {
    let mut lines = String::new();
    for fault in state.timeline.pending() {
        lines.push_str(&fault.to_string());
        lines.push('\n');
    }
    lines
}

pub(super) async fn add_faults(
    Shared(state): Shared<Arc<State>>,
    script: String,
) -> Result<StatusCode, (StatusCode, String)> {
    let faults = parse_script(&script).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    if faults.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "send faults, one a line: 0s..30s outage 503\n".to_owned()));
    }
    state.timeline.add(faults);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn clear_faults(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.timeline.clear();
    StatusCode::NO_CONTENT
}
