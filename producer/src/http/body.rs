//! Bodies within their limits: of size, and of time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

use super::HttpOptions;
use super::problem::Problem;

/// Why a body is not read on.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the body broke off: send the file again")]
    BrokeOff,
    #[error("no byte of the body came within {0:?}")]
    Stalled(Duration),
    #[error(
        "the body came with fewer than {0} bytes in a second: send it over a faster connection, or in parts"
    )]
    TooSlow(u64),
    #[error("the form has more than {} KiB beside its first file: send one file a request", .0 >> 10)]
    BesideTheFile(u64),
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        let told = fault.to_string();
        match fault {
            BodyFault::BrokeOff => Self::bad_request(told),
            BodyFault::Stalled(_) | BodyFault::TooSlow(_) => Self::too_slow(told),
            BodyFault::BesideTheFile(_) => Self::too_large(told),
        }
    }
}

/// How fast a file must come: a place is held by whoever sends one, however slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The next bytes come within this time.
    patience: Duration,
    /// Bytes in a second, on average, once so much time has passed.
    rate: u64,
}

impl Pace {
    pub(super) fn of(options: &HttpOptions) -> Self {
        Self { patience: options.body_timeout, rate: options.upload_rate }
    }

    /// How long one that has sent so many bytes may have been waited for.
    fn allows(self, bytes: u64) -> Duration {
        self.patience + Duration::from_millis(bytes.saturating_mul(1000) / self.rate.max(1))
    }
}

/// The bytes of a body, each chunk of them within its time, and all of them at the pace. Only the time in which
/// they are waited for counts, not what this process takes over them.
pub(super) fn chunks_of(
    body: Body,
    pace: Pace,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    let begun = (body.into_data_stream(), Duration::ZERO, 0);
    try_unfold(begun, move |(mut chunks, waited, bytes)| async move {
        let left = pace.allows(bytes).saturating_sub(waited);
        let since = Instant::now();
        match timeout(left.min(pace.patience), chunks.next()).await {
            Ok(Some(Ok(chunk))) => {
                let bytes = bytes + chunk.len() as u64;
                Ok(Some((chunk, (chunks, waited + since.elapsed(), bytes))))
            }
            Ok(Some(Err(_))) => Err(BodyFault::BrokeOff),
            Ok(None) => Ok(None),
            Err(_) if bytes > 0 && left < pace.patience => Err(BodyFault::TooSlow(pace.rate)),
            Err(_) => Err(BodyFault::Stalled(pace.patience)),
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

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};
    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace { patience: Duration::from_secs(30), rate: 1_000 };

    /// What comes of a body of so many chunks, each so many seconds after the one before, and read so late.
    async fn sent(chunks: u64, bytes: usize, seconds: u64, late: u64) -> Result<u64, BodyFault> {
        let body = stream::iter(0..chunks).then(move |_| async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]))
        });
        let mut read = std::pin::pin!(chunks_of(Body::from_stream(body), PACE));
        let mut count = 0;
        while let Some(chunk) = read.try_next().await? {
            count += chunk.len() as u64;
            sleep(Duration::from_secs(late)).await;
        }
        Ok(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_comes_at_its_pace() {
        let table = [
            ("as fast as it must", 600, 1_000, 1, 0, Ok(600_000)),
            ("a drop now and then", 600, 1, 29, 0, Err("fewer than 1000 bytes")),
            ("nothing any more", 600, 1, 31, 0, Err("no byte")),
            ("a pause behind much", 2, 30_000, 29, 0, Ok(60_000)),
            ("slowly at first", 29, 1, 1, 0, Ok(29)),
            ("held up here", 600, 1_000, 1, 60, Ok(600_000)),
        ];
        for (name, chunks, bytes, seconds, late, expected) in table {
            let found = sent(chunks, bytes, seconds, late).await;
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
                (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{name}: {fault}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
