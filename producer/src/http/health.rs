//! Whether this process lives, and whether it can work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use fleetline_shared::ports::Page;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Shared;
use super::problem::{Problem, ProblemBody};

/// A ledger that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(3);

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, body = Value, example = json!({ "status": "ok" })))
)]
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The ledger answers, so requests can be accepted.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = Value, example = json!({ "status": "ready" })),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    if app.shutdown.is_cancelled() {
        return Err(Problem::unavailable("this process is ending"));
    }
    match timeout(PATIENCE, app.ledger.runs(None, Page::first(1))).await {
        Ok(Ok(_)) => Ok(Json(json!({ "status": "ready" }))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable("the ledger does not answer"))
        }
        Err(_) => Err(Problem::unavailable("the ledger does not answer in time")),
    }
}
