//! A bucket that refills evenly.

use std::time::Duration;

use super::Standing;
use crate::Rate;

/// A token bucket. Levels are counted in units times nanoseconds of the window, so that nothing is
/// ever rounded.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    level: u128,
    capacity: u128,
    filled_at: Duration,
}

impl Bucket {
    /// Full; holds what refills within `burst`, but one unit at least.
    pub(super) fn new(rate: Rate, burst: Duration) -> Self {
        let per_unit = rate.window.as_nanos();
        let capacity = (u128::from(rate.amount) * burst.as_nanos()).max(per_unit);
        // Whole units only: a part of one would never be of use.
        let capacity = capacity - capacity % per_unit;
        Self { rate, level: capacity, capacity, filled_at: Duration::ZERO }
    }

    pub(super) fn fits(&mut self, now: Duration, amount: u64) -> Result<(), Option<Duration>> {
        self.fill(now);
        let needed = self.cost(amount);
        if needed > self.capacity {
            return Err(None);
        }
        match needed.saturating_sub(self.level) {
            0 => Ok(()),
            lacking => Err(Some(self.time_for(lacking))),
        }
    }

    pub(super) fn take(&mut self, now: Duration, amount: u64) {
        self.fill(now);
        self.level -= self.cost(amount);
    }

    pub(super) fn standing(&mut self, now: Duration) -> Standing {
        self.fill(now);
        let units = |level: u128| u64::try_from(level / self.rate.window.as_nanos()).unwrap_or(u64::MAX);
        Standing {
            limit: units(self.capacity),
            window: self.rate.window,
            remaining: units(self.level),
            reset: self.time_for(self.capacity - self.level),
        }
    }

    fn fill(&mut self, now: Duration) {
        let gained = now.saturating_sub(self.filled_at).as_nanos() * u128::from(self.rate.amount);
        self.level = self.capacity.min(self.level + gained);
        self.filled_at = now;
    }

    fn cost(&self, amount: u64) -> u128 {
        u128::from(amount) * self.rate.window.as_nanos()
    }

    /// Until so much has come in; a nanosecond too late rather than too early.
    fn time_for(&self, lacking: u128) -> Duration {
        let nanos = lacking.div_ceil(u128::from(self.rate.amount));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
