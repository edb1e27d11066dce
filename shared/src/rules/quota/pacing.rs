//! How closely a limit is approached.

use std::time::Duration;

use super::METERED;
use crate::domain::Dimension;
use crate::ports::{Limits, Rate};

/// So much later than its slot a call may start whatever the margin: timers are no better on a machine that
/// does other things.
pub const LEAST_LATENESS: Duration = Duration::from_millis(10);

/// How closely a limit is approached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacing {
    /// Share of the window by which it is stretched, for jitter between a slot and the call's
    /// arrival; it costs as large a share of the quota. 0.005 of a minute covers 300 ms.
    pub margin: f64,
    /// Share of the limit that may be used at once after a quiet time; one call may be larger.
    /// A state that does not know the past waits until as much could have been refilled, so that
    /// a restart does not go over the limit. That is exact for requests, and for tokens if both
    /// processes make calls as large and guess their tokens right. 1.0 is exact whatever happened
    /// before: the limit may be used in one burst, and each start waits one window.
    pub burst: f64,
}

impl Pacing {
    /// The window as it is metered, in microseconds.
    pub fn window(self, rate: Rate) -> u64 {
        micros(rate.window).max(1) + micros(rate.window.mul_f64(self.margin.clamp(0.0, 1.0)))
    }

    /// How much later than its slot a call may start: most of the smallest margin. The rest is for its
    /// way to the upstream. `None`: at any time, since nothing is counted in windows.
    pub fn lateness(self, limits: &Limits) -> Option<Duration> {
        let paced = METERED.into_iter().filter(|dimension| *dimension != Dimension::Money);
        let windows = paced.filter_map(|dimension| Some(limits.rates().get(dimension)?.window));
        Some(windows.min()?.mul_f64(self.margin.clamp(0.0, 1.0) * 0.8).max(LEAST_LATENESS))
    }

    /// Units that may be used at once after a quiet time: of money all.
    pub fn bucket(self, dimension: Dimension, rate: Rate) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u64")]
        let bucket = (rate.amount as f64 * self.burst.clamp(0.0, 1.0)) as u64;
        if dimension == Dimension::Money { rate.amount.max(1) } else { bucket.max(1) }
    }
}

impl Default for Pacing {
    fn default() -> Self {
        Self { margin: 0.005, burst: 0.02 }
    }
}

/// Microseconds, at most so many that two can be added.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 8)
}
