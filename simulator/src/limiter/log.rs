//! The strictest way to count: every use is kept until it is a window old.

use std::collections::VecDeque;
use std::time::Duration;

use super::Standing;
use crate::Rate;

/// A sliding window log.
#[derive(Debug)]
pub(super) struct Log {
    rate: Rate,
    uses: VecDeque<(Duration, u64)>,
    used: u64,
}

impl Log {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, uses: VecDeque::new(), used: 0 }
    }

    pub(super) fn fits(&mut self, now: Duration, amount: u64) -> Result<(), Option<Duration>> {
        self.forget(now);
        if amount > self.rate.amount {
            return Err(None);
        }
        let mut over = (self.used + amount).saturating_sub(self.rate.amount);
        if over == 0 {
            return Ok(());
        }
        for (at, freed) in &self.uses {
            over = over.saturating_sub(*freed);
            if over == 0 {
                return Err(Some((*at + self.rate.window).saturating_sub(now)));
            }
        }
        unreachable!("without any use everything up to the limit fits")
    }

    pub(super) fn take(&mut self, now: Duration, amount: u64) {
        self.used += amount;
        self.uses.push_back((now, amount));
    }

    pub(super) fn standing(&mut self, now: Duration) -> Standing {
        self.forget(now);
        Standing {
            limit: self.rate.amount,
            window: self.rate.window,
            remaining: self.rate.amount - self.used,
            reset: self
                .uses
                .back()
                .map_or(Duration::ZERO, |(at, _)| (*at + self.rate.window).saturating_sub(now)),
        }
    }

    /// Two uses a whole window apart are in no common window.
    fn forget(&mut self, now: Duration) {
        while let Some((_, amount)) = self.uses.pop_front_if(|(at, _)| *at + self.rate.window <= now) {
            self.used -= amount;
        }
    }
}
