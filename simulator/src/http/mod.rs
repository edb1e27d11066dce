//! Calls, and the ways to look at them.

mod api;
mod call;
mod control;
mod headers;
mod line;
mod misbehave;
mod state;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;

pub use self::headers::HeaderStyle;
use self::line::{FaultyListener, Line};
pub(crate) use self::state::State;

/// Bytes of a request at most: OpenAI's own limits are far below.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Serves calls until it is dropped.
pub(crate) async fn serve_calls(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    let listener = FaultyListener::new(listener, Arc::clone(&state))?;
    let calls = Router::new()
        .route("/v1/echo", post(api::echo))
        // Every base path that clients build: /v1/..., /openai/deployments/NAME/..., ...
        .fallback(api::by_suffix)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(&state));
    let all = control_routes(state).merge(calls);
    axum::serve(listener, all.into_make_service_with_connect_info::<Line>()).await
}

/// Serves the ledger and the faults alone until it is dropped.
pub(crate) async fn serve_control(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    axum::serve(listener, control_routes(state)).await
}

fn control_routes(state: Arc<State>) -> Router {
    let faults = get(control::faults).post(control::add_faults).delete(control::clear_faults);
    Router::new()
        .route("/healthz", get(control::healthz))
        .route("/ledger", get(control::ledger).delete(control::clear_ledger))
        .route("/faults", faults)
        .with_state(state)
}
