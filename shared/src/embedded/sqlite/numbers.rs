//! Times and counts as the file keeps them.

use std::time::{Duration, SystemTime};

use crate::domain::Usage;

/// The largest count that one row holds. What is above is cut: numbers come from users and
/// upstreams, and an absurd one must not overflow a run's sums.
const LARGEST: u64 = 1 << 40;

/// The count, cut to what a row holds.
pub(super) fn bounded(count: u64) -> u64 {
    count.min(LARGEST)
}

/// The usage, each number cut to what a row holds.
pub(super) fn bounded_usage(usage: Usage) -> Usage {
    Usage {
        calls: bounded(usage.calls),
        input_tokens: bounded(usage.input_tokens),
        output_tokens: bounded(usage.output_tokens),
    }
}

/// Milliseconds since 1970. The embedded ledger's clock is this machine's.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as the file's milliseconds.
pub(super) fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
