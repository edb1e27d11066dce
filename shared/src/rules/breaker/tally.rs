//! Calls and failures of the last window, in ten grains, so that its size is bounded.

use std::collections::VecDeque;

use super::BreakerTerms;

/// Grains of a window, the newest of them partly filled.
const GRAINS: u64 = 10;

/// Calls that ended lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    grains: VecDeque<Grain>,
}

#[derive(Clone, Copy, Debug)]
struct Grain {
    /// Its time, in grains.
    number: u64,
    calls: u64,
    failures: u64,
}

impl Tally {
    /// Adds a call that ended, and forgets those that left the window.
    pub(super) fn add(&mut self, terms: &BreakerTerms, failed: bool, now: u64) {
        if terms.percent == 0 {
            return;
        }
        let number = now / terms.grain;
        self.grains.retain(|grain| grain.number + GRAINS > number);
        if self.grains.back().is_none_or(|newest| newest.number < number) {
            self.grains.push_back(Grain { number, calls: 0, failures: 0 });
        }
        if let Some(newest) = self.grains.back_mut() {
            newest.calls += 1;
            newest.failures += u64::from(failed);
        }
    }

    /// Whether the share of failures opens the breaker.
    pub(super) fn is_over(&self, terms: &BreakerTerms) -> bool {
        let calls: u64 = self.grains.iter().map(|grain| grain.calls).sum();
        let failures: u64 = self.grains.iter().map(|grain| grain.failures).sum();
        terms.percent > 0 && calls >= terms.of_at_least && 100 * failures >= terms.percent * calls
    }
}
