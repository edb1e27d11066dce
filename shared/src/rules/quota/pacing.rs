//! How closely a limit is approached.

use std::time::Duration;

use super::all_rates;
use crate::domain::Dimension;
use crate::ports::{Limits, Rate};

/// So much later than its slot a call may start whatever the margin: timers are no better on a machine that
/// does other things.
pub const LEAST_LATENESS: Duration = Duration::from_millis(10);
/// Share of a margin that a call may be late; the rest is for its way to the upstream.
const LATENESS: f64 = 0.8;

/// How closely a limit is approached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacing {
    /// Share of the window by which it is stretched, for jitter between a slot and the call's
    /// arrival; it costs as large a share of the quota. 0.005 of a minute covers 300 ms. A short window is
    /// stretched by more, so that calls may be [`LEAST_LATENESS`] late; by nothing if this is 0.
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
        micros(rate.window).max(1) + micros(self.stretch(rate))
    }

    /// A short window's margin is no less than what timers need.
    fn stretch(self, rate: Rate) -> Duration {
        if self.margin <= 0.0 {
            return Duration::ZERO;
        }
        rate.window.mul_f64(self.margin.min(1.0)).max(LEAST_LATENESS.div_f64(LATENESS))
    }

    /// How much later than its slot a call may start: most of the smallest margin of all limits, those of
    /// tenants and models too. `None`: at any time, since nothing is counted in windows.
    pub fn lateness(self, limits: &Limits) -> Option<Duration> {
        let paced = all_rates(limits).filter(|(dimension, _)| *dimension != Dimension::Money);
        let stretch = paced.map(|(_, rate)| self.stretch(rate)).min()?;
        Some(stretch.mul_f64(LATENESS).max(LEAST_LATENESS))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Rates;

    #[test]
    fn calls_are_late_by_less_than_the_smallest_margin() {
        let per = |ms: u64| Some(Rate { amount: 100, window: Duration::from_millis(ms) });
        let minute = Limits { requests: per(60_000), ..Limits::default() };
        let second = Rates { requests: per(1_000), ..Rates::default() };
        let ten = Rates { tokens: per(10_000), ..Rates::default() };
        let money = Rates { budget: per(1_000), ..Rates::default() };
        let tenants = |rates| Limits { per_tenant: Some(rates), ..minute.clone() };
        let model = Limits { per_model: [("m".to_owned(), ten)].into(), ..Limits::default() };
        // limits, lateness in ms
        for (limits, lateness) in [
            (Limits::default(), None),
            (minute.clone(), Some(240)),
            (tenants(ten), Some(40)),
            (tenants(second), Some(10)),
            (tenants(money), Some(240)),
            (model, Some(40)),
            (Limits { requests: per(100), ..Limits::default() }, Some(10)),
        ] {
            let late = Pacing::default().lateness(&limits);
            assert_eq!(late, lateness.map(Duration::from_millis), "{limits:?}");
            for (_, rate) in all_rates(&limits).filter(|(of, _)| *of != Dimension::Money) {
                let margin = Pacing::default().window(rate) - micros(rate.window);
                assert!(late.is_some_and(|late| micros(late) < margin), "{rate:?}");
            }
        }
    }
}
