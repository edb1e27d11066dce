//! One dimension of a quota: paced, and exact over every window.

use super::Pacing;
use super::log::SlidingLog;
use crate::ports::Rate;

/// Meters one dimension. Two rules hold at once:
///
/// - A bucket of size `burst` fills at `amount / window`, and a use must be paid from it before it
///   starts. So uses are spread, and a process that knows nothing of the one before may go on at
///   the same pace without going over.
/// - A log of the last window makes the bound exact: a bucket alone lets `burst + amount` through.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    amount: u64,
    window: u64,
    /// Size of the bucket: at least the largest use seen.
    burst: u64,
    /// When the bucket was, or will be, empty. May lie further back than a full bucket needs;
    /// [`Meter::take`] cuts it.
    empty_at: u64,
    /// Refunds that no later use has drawn on yet: so much more than `burst` the bucket holds.
    refunded: u64,
    /// Until then, what an earlier process used may still be in the window.
    cold_until: u64,
    /// The part of `empty_at` that stands for that use, and is void after it.
    debt: u64,
    log: SlidingLog,
}

impl Meter {
    /// Starts at `now`, knowing nothing of what was used before. The process before may have
    /// emptied a full bucket this moment, so this one starts owing it: all but the one unit that
    /// the window's margin covers.
    pub(super) fn new(rate: Rate, pacing: Pacing, now: u64) -> Self {
        let (window, burst) = (pacing.window(rate), pacing.bucket(rate));
        let mut meter = Self {
            amount: rate.amount,
            window,
            burst,
            empty_at: now,
            refunded: 0,
            cold_until: now + window,
            debt: 0,
            log: SlidingLog::new(window),
        };
        meter.owe(meter.refill(burst - 1));
        meter
    }

    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// Brings the meter to `now` for a use of `units`, which is at most the amount.
    pub(super) fn prepare(&mut self, units: u64, now: u64) {
        self.log.forget(now);
        if now >= self.cold_until {
            self.empty_at = self.empty_at.saturating_sub(std::mem::take(&mut self.debt));
        } else if units > self.burst {
            // The process before probably made calls as large as this one's.
            self.owe(self.refill(units) - self.refill(self.burst));
        }
        self.burst = self.burst.max(units);
    }

    fn owe(&mut self, time: u64) {
        self.empty_at = self.empty_at.saturating_add(time);
        self.debt = self.debt.saturating_add(time);
    }

    /// The earliest time from `from` on at which `units` may be used.
    pub(super) fn earliest(&self, units: u64, from: u64) -> u64 {
        let mut paid = self.empty_at.saturating_add(self.refill(units));
        if self.log.is_empty() && from <= self.cold_until {
            // Nothing was used since the start: then one whole window is always enough.
            paid = paid.min(self.cold_until);
        }
        self.log.earliest(units, self.amount, from.max(paid))
    }

    /// Uses `units` at `at`, which [`Meter::earliest`] gave.
    pub(super) fn take(&mut self, units: u64, at: u64) {
        let full = at.saturating_sub(self.refill(self.burst.saturating_add(self.refunded)));
        if full > self.empty_at {
            self.empty_at = full;
            self.debt = 0;
        }
        self.empty_at = self.empty_at.saturating_add(self.refill(units));
        self.refunded = self.refunded.saturating_sub(units);
        self.log.add(units, at);
    }

    /// Replaces what was taken at `at` by what was really used. Too much is paid back later.
    pub(super) fn correct(&mut self, at: u64, reserved: u64, used: u64) {
        self.log.correct(at, reserved, used);
        if used > reserved {
            self.empty_at = self.empty_at.saturating_add(self.refill(used - reserved));
        } else {
            self.empty_at = self.empty_at.saturating_sub(self.refill(reserved - used));
            self.refunded = self.refunded.saturating_add(reserved - used);
        }
    }

    /// Time in which the bucket gains so much, rounded up.
    pub(super) fn refill(&self, units: u64) -> u64 {
        let exact = u128::from(units) * u128::from(self.window);
        u64::try_from(exact.div_ceil(u128::from(self.amount.max(1)))).unwrap_or(u64::MAX / 4)
    }
}
