//! Bodies within their limits: of size, and of time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::HttpOptions;
use super::problem::Problem;

/// Why a body is not read on.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the body broke off: send the file again")]
    BrokeOff,
    #[error("no byte of the body came within {0:?}")]
    Stalled(Duration),
    #[error("the form has more than {} KiB beside its first file: send one file a request", .0 >> 10)]
    BesideTheFile(u64),
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        let told = fault.to_string();
        match fault {
            BodyFault::BrokeOff => Self::bad_request(told),
            BodyFault::Stalled(_) => Self::too_slow(told),
            BodyFault::BesideTheFile(_) => Self::too_large(told),
        }
    }
}

/// The bytes of a body, each chunk of them within its time.
pub(super) fn chunks_of(
    body: Body,
    patience: Duration,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    try_unfold(body.into_data_stream(), move |mut chunks| async move {
        match timeout(patience, chunks.next()).await {
            Ok(Some(Ok(chunk))) => Ok(Some((chunk, chunks))),
            Ok(Some(Err(_))) => Err(BodyFault::BrokeOff),
            Ok(None) => Ok(None),
            Err(_) => Err(BodyFault::Stalled(patience)),
        }
    })
}

/// Reads a whole JSON body.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    options: &HttpOptions,
) -> Result<Vec<u8>, Problem> {
    check_type(headers, "application/json")?;
    check_encoding(headers)?;
    check_length(headers, options.jobs.bytes as u64)?;
    let limit = options.body_timeout;
    timeout(limit, read_all(body, options.jobs.bytes))
        .await
        .unwrap_or_else(|_| Err(Problem::too_slow(format!("the body did not come within {limit:?}"))))
}

async fn read_all(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut all = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body broke off"))?;
        if all.len() + chunk.len() > limit {
            return Err(larger_than(limit as u64));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

pub(super) fn larger_than(limit: u64) -> Problem {
    Problem::too_large(format!("the body has more than {limit} bytes: send it in parts"))
}

/// Refuses a body by its announced length, before any of it is read.
pub(super) fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) { Err(larger_than(limit)) } else { Ok(()) }
}

/// Compressed bodies are not read.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(Problem::unsupported("the body has a `Content-Encoding`: send it uncompressed"))
        }
        _ => Ok(()),
    }
}

fn check_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    if media_type(headers).is_some_and(|found| found.eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    Err(Problem::unsupported(format!("send the header `Content-Type: {expected}`")))
}

/// The type of the body, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}
