//! The HTTP side of the stub.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Behaviour, Call, Shared, answers};

/// Headers whose values are keys.
const SECRET: [&str; 2] = ["authorization", "api-key"];

/// Serves until told to stop.
pub(super) fn run(listener: TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let app = Router::new().fallback(call).layer(DefaultBodyLimit::disable()).with_state(shared);
        tokio::select! {
            served = axum::serve(listener, app) => served.expect("the listener works"),
            _ = stopped => {}
        }
    });
}

async fn call(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if !uri.path().ends_with("/chat/completions") {
        return (StatusCode::NOT_FOUND, "no such path").into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (behaviour, _guard) = record(&shared, &uri, &headers, request.clone());
    sleep(shared.latency).await;
    answer(&request, behaviour).await
}

/// Counts the call and takes its behaviour off the script.
fn record(shared: &Arc<Shared>, uri: &Uri, headers: &HeaderMap, body: Value) -> (Behaviour, InFlight) {
    let mut state = shared.state();
    let order = state.calls.len() + 1;
    state.in_flight += 1;
    state.most_in_flight = state.most_in_flight.max(state.in_flight);
    let content = format!("{}{}", body["model"], body["messages"]);
    state.calls.push(Call {
        order,
        at: Instant::now(),
        target: uri.to_string(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), shown(name.as_str(), value)))
            .collect(),
        body,
        content_hash: blake3::hash(content.as_bytes()).to_hex().to_string(),
    });
    let behaviour = state.script.pop_front().unwrap_or(Behaviour::Answer);
    drop(state);
    shared.arrived.send_replace(order);
    (behaviour, InFlight(Arc::clone(shared)))
}

fn shown(name: &str, value: &axum::http::HeaderValue) -> String {
    if SECRET.contains(&name) {
        return format!("({} bytes)", value.len());
    }
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Dropped when the answer begins, or when the client leaves.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

async fn answer(request: &Value, behaviour: Behaviour) -> Response {
    let content = answers::content(request);
    let complete = |content: &str, finish: &str, refusal: Option<&str>| {
        json(answers::completion(request, content, finish, refusal).to_string())
    };
    match behaviour {
        Behaviour::Answer => complete(&content, "stop", None),
        Behaviour::Content(content) => complete(&content, "stop", None),
        Behaviour::MalformedJson => complete(&content[..content.len() / 2], "stop", None),
        Behaviour::Length => complete(&content[..content.len() / 2], "length", None),
        Behaviour::ContentFilter => complete("", "content_filter", None),
        Behaviour::Refusal => complete("", "stop", Some("I will not do that.")),
        Behaviour::NoChoices => {
            let mut completion = answers::completion(request, &content, "stop", None);
            completion["choices"] = Value::Array(Vec::new());
            json(completion.to_string())
        }
        Behaviour::Status(status, headers, body) => {
            let status = StatusCode::from_u16(status).expect("scripts name statuses that exist");
            let headers = headers.into_iter().map(|(name, value)| (name, value.parse().expect("a header")));
            let mut response = (status, body).into_response();
            response.headers_mut().extend(headers.map(|(name, value)| (name.parse().ok(), value)));
            response
        }
        Behaviour::Hang => pending().await,
        Behaviour::Reset => {
            let begins = Ok(Bytes::from_static(b"{\"id\":"));
            let breaks = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            Body::from_stream(stream::iter([begins, breaks])).into_response()
        }
        Behaviour::SlowBody(pause) => {
            let bytes = answers::completion(request, &content, "stop", None).to_string().into_bytes();
            let slowly = stream::unfold(bytes.into_iter(), move |mut rest| async move {
                let byte = rest.next()?;
                sleep(pause).await;
                Some((Ok::<_, Infallible>(Bytes::from(vec![byte])), rest))
            });
            Body::from_stream(slowly).into_response()
        }
        Behaviour::EndlessBody => {
            let blank = Bytes::from(vec![b' '; 64 * 1024]);
            let blanks = stream::repeat_with(move || Ok::<_, Infallible>(blank.clone()));
            Body::from_stream(blanks).into_response()
        }
    }
}

fn json(body: String) -> Response {
    ([("content-type", "application/json")], body).into_response()
}
