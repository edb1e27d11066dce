//! The breaker of an upstream: who fails again and again is left alone for a while, by the whole
//! fleet, and tried with one call at a time.

use std::time::Duration;

/// When an upstream's breaker opens, and for how long. Times are kept in microseconds and cut at
/// a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures one after the other open it; at least 1.
    pub failures: u32,
    /// A share of failures that opens it too.
    pub rate: Option<FailureRate>,
    /// So long nobody calls after it opened.
    pub open_for: Duration,
    /// Each probe that fails doubles that time, up to this. Not longer than `open_for`: it stays
    /// the same.
    pub open_at_most: Duration,
    /// Each of these times is lengthened by a share of itself, up to so many percent, at most 100:
    /// fleets that saw the same outage do not come back at the same time.
    pub jitter: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        let minute = Duration::from_mins(1);
        Self { failures: 3, rate: None, open_for: minute, open_at_most: minute, jitter: 10 }
    }
}

/// So many percent failures among the calls that ended lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// Percent of the calls, 1 to 100.
    pub percent: u32,
    /// Fewer calls say nothing; at least 1.
    pub of_at_least: u32,
    /// How far back calls count. It slides in tenths of itself.
    pub within: Duration,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerReport {
    /// Calls go.
    Closed {
        /// How many failed one after the other, up to now.
        failures: u32,
    },
    /// No call goes.
    Open {
        /// Time until one call may try.
        probe_in: Duration,
    },
    /// One call at a time may try.
    HalfOpen {
        /// Whether it is under way.
        probing: bool,
    },
}
