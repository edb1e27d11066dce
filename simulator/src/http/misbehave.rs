//! What goes wrong with one call.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use tokio::time::sleep;

use super::api::answer as json;
use super::call::Call;
use super::headers::Told;
use super::line::Line;
use crate::faults::{FaultKind, Outage};
use crate::ledger::Verdict;
use crate::openai::{Asked, Refusal};

/// A fault that needs no look at the request.
pub(super) fn lost(fault: &FaultKind, call: &mut Call, line: &Line, told: &mut Told) -> Response {
    match fault {
        FaultKind::Storm { retry_after } => {
            told.wait = *retry_after;
            call.close(Verdict::Fault, Some(429));
            json(StatusCode::TOO_MANY_REQUESTS, Refusal::storm().to_body())
        }
        FaultKind::Outage(Outage::Status(status)) => failed(*status, call),
        _ => broken(call, line),
    }
}

/// A fault of a call that was let in.
pub(super) async fn answer(fault: &FaultKind, mut call: Call, line: &Line, asked: &Asked) -> Response {
    match fault {
        FaultKind::Hang => {
            // Until its caller leaves, which drops this.
            pending::<()>().await;
            broken(&mut call, line)
        }
        FaultKind::Reset => {
            let mut body = asked.to_body(call.seq);
            body.truncate(body.len() / 2);
            call.close(Verdict::Fault, Some(200));
            json(StatusCode::OK, half(body))
        }
        FaultKind::Slow { pause } => {
            let body = asked.to_body(call.seq);
            call.close(Verdict::Fault, Some(200));
            json(StatusCode::OK, slowly(body, *pause, call))
        }
        FaultKind::Malformed => {
            let mut body = asked.to_body(call.seq);
            body.truncate(body.len() / 2);
            call.close(Verdict::Fault, Some(200));
            json(StatusCode::OK, body)
        }
        FaultKind::Truncated => {
            call.close(Verdict::Fault, Some(200));
            json(StatusCode::OK, asked.to_cut_body(call.seq))
        }
        FaultKind::Error(status) => failed(*status, &mut call),
        // Those came to `lost`.
        FaultKind::Outage(_) | FaultKind::Storm { .. } => broken(&mut call, line),
    }
}

fn failed(status: u16, call: &mut Call) -> Response {
    call.close(Verdict::Fault, Some(status));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, Refusal::failed(status).to_body())
}

fn broken(call: &mut Call, line: &Line) -> Response {
    call.close(Verdict::Fault, None);
    line.reset();
    // Never arrives.
    Response::new(Body::empty())
}

/// What there is, then an end that is none.
fn half(body: Vec<u8>) -> Body {
    /// An error that comes with the bytes would keep them from being sent.
    const LEAD: Duration = Duration::from_millis(20);
    Body::from_stream(stream::unfold(Some(body), move |rest| async move {
        if let Some(bytes) = rest {
            return Some((Ok(Bytes::from(bytes)), None));
        }
        sleep(LEAD).await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    }))
}

/// Byte by byte. The call is there until its body is.
fn slowly(body: Vec<u8>, pause: Duration, call: Call) -> Body {
    Body::from_stream(stream::unfold((body.into_iter(), call), move |(mut rest, call)| async move {
        let byte = rest.next()?;
        sleep(pause).await;
        Some((Ok::<_, Infallible>(Bytes::from(vec![byte])), (rest, call)))
    }))
}
