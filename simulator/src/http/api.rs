//! One call, from its request to its answer.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use tokio::time::sleep;

use super::call::Call;
use super::headers::{self, Told};
use super::line::Line;
use super::misbehave;
use super::state::{Fate, State};
use crate::ledger::{Entry, Verdict, short};
use crate::openai::{self, Asked, Endpoint, Refusal};

/// Headers in which callers name their calls, the first that is there counts.
const MARKERS: [&str; 5] =
    ["x-fleetline-job", "idempotency-key", "x-client-request-id", "x-request-id", "traceparent"];

pub(super) async fn echo(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = openai::read(Endpoint::Echo, None, body);
    handle(&state, &line, Endpoint::Echo, &headers, asked).await
}

pub(super) async fn by_suffix(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(line): ConnectInfo<Line>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(endpoint) = Endpoint::of(uri.path()).filter(|_| method == Method::POST) else {
        let refusal = Refusal::unknown_url(method.as_str(), uri.path());
        return answer(refusal.status, refusal.to_body());
    };
    let deployment = uri.path().split_once("/deployments/").and_then(|(_, rest)| rest.split('/').next());
    let asked = openai::read(endpoint, deployment, body);
    handle(&state, &line, endpoint, &headers, asked).await
}

async fn handle(
    state: &Arc<State>,
    line: &Line,
    endpoint: Endpoint,
    headers: &HeaderMap,
    asked: Result<Asked, Refusal>,
) -> Response {
    let entry = entry(endpoint, headers, asked.as_ref().ok());
    let (mut call, fate) = state.receive(entry, asked);
    let mut told = Told::default();
    let response = match fate {
        Fate::Lost(fault) => misbehave::lost(&fault, &mut call, line, &mut told),
        Fate::Refused(refusal) => {
            call.close(Verdict::Invalid, Some(refusal.status.as_u16()));
            answer(refusal.status, refusal.to_body())
        }
        Fate::Limited(limited) => {
            told.wait = headers::wait(&limited);
            call.close(Verdict::Limited, Some(429));
            answer(StatusCode::TOO_MANY_REQUESTS, Refusal::limited(&limited, told.wait).to_body())
        }
        Fate::Admitted { asked, latency, fault } => {
            if !latency.is_zero() {
                sleep(latency).await;
            }
            let seq = call.seq;
            let mut response = match fault {
                None => served(call, &asked),
                Some(fault) => misbehave::answer(&fault, call, line, &asked).await,
            };
            told.request = Some(seq);
            headers::tell(response.headers_mut(), state, &told);
            return response;
        }
    };
    told.request = Some(call.seq);
    let mut response = response;
    headers::tell(response.headers_mut(), state, &told);
    response
}

fn served(mut call: Call, asked: &Asked) -> Response {
    let response = answer(StatusCode::OK, asked.to_body(call.seq));
    call.close(Verdict::Served, Some(200));
    response
}

/// JSON with a status.
pub(super) fn answer(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn entry(endpoint: Endpoint, headers: &HeaderMap, asked: Option<&Asked>) -> Entry {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let key = text("authorization").or_else(|| text("api-key"));
    let marker = MARKERS.iter().find_map(|name| text(name));
    Entry {
        seq: 0,
        at_us: 0,
        endpoint: endpoint.as_str(),
        key: key.map(|key| blake3::hash(key.as_bytes()).to_hex()[..8].into()),
        marker: marker.map(short),
        model: asked.and_then(Asked::model).map(short),
        content: asked.map(Asked::content).unwrap_or_default(),
        input_tokens: asked.map(Asked::input_tokens).unwrap_or_default(),
        output_tokens: 0,
        charged: false,
        verdict: Verdict::Open,
        why: None,
        status: None,
        latency_us: None,
    }
}
