//! W3C trace context, so that an upstream's own traces can be found from a job.

use fleetline_shared::domain::JobId;

/// Value of the header `traceparent` for one more call of a job: all calls of a job are one trace,
/// whose id is the job's, and each is a span of its own.
pub(super) fn parent(job: JobId) -> String {
    // All zeros are no span.
    let span = fastrand::u64(1..);
    let trace = u128::from_be_bytes(*job.as_bytes());
    format!("00-{trace:032x}-{span:016x}-01")
}
