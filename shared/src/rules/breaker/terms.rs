//! A breaker's options as whole numbers, the same for both twins.

use std::time::Duration;

use crate::ports::{BreakerOptions, FailureRate};
use crate::rules::micros;

/// Longer times are taken for this one, about a year: the script's numbers are exact below 2^53.
const LONGEST: u64 = 1 << 45;

/// A breaker's options. Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerTerms {
    pub(super) failures: u64,
    /// 0: the share of failures does not count.
    pub(super) percent: u64,
    pub(super) of_at_least: u64,
    /// A tenth of the window.
    pub(super) grain: u64,
    pub(super) open_for: u64,
    pub(super) open_at_most: u64,
    pub(super) jitter: u64,
}

impl BreakerTerms {
    /// What to add to an open time. It comes from the time of opening alone, so that both twins
    /// find the same: one step of a "minimal standard" generator mixes its digits.
    pub(super) fn jitter(&self, length: u64, now: u64) -> u64 {
        let thousandths = now % 0x7FFF_FFFF * 48_271 % 0x7FFF_FFFF % 1_001;
        length / 1_000 * self.jitter * thousandths / 100
    }

    /// As the script takes them.
    pub fn to_text(&self) -> String {
        let Self { failures, percent, of_at_least, grain, open_for, open_at_most, jitter } = self;
        format!("{failures} {percent} {of_at_least} {grain} {open_for} {open_at_most} {jitter}")
    }

    /// Reads what [`BreakerTerms::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [failures, percent, of_at_least, grain, open_for, open_at_most, jitter] = numbers[..] else {
            return None;
        };
        Some(Self { failures, percent, of_at_least, grain, open_for, open_at_most, jitter })
    }

    /// The options again.
    pub fn options(&self) -> BreakerOptions {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let rate = FailureRate {
            percent: small(self.percent),
            of_at_least: small(self.of_at_least),
            within: Duration::from_micros(10 * self.grain),
        };
        BreakerOptions {
            failures: small(self.failures),
            rate: (self.percent > 0).then_some(rate),
            open_for: Duration::from_micros(self.open_for),
            open_at_most: Duration::from_micros(self.open_at_most),
            jitter: small(self.jitter),
        }
    }
}

impl From<BreakerOptions> for BreakerTerms {
    fn from(options: BreakerOptions) -> Self {
        let time = |duration| micros(duration).clamp(1, LONGEST);
        let rate = options.rate;
        Self {
            failures: u64::from(options.failures.max(1)),
            percent: rate.map_or(0, |rate| u64::from(rate.percent.clamp(1, 100))),
            of_at_least: rate.map_or(1, |rate| u64::from(rate.of_at_least.max(1))),
            grain: rate.map_or(1, |rate| (time(rate.within) / 10).max(1)),
            open_for: time(options.open_for),
            open_at_most: time(options.open_at_most),
            jitter: u64::from(options.jitter.min(100)),
        }
    }
}
