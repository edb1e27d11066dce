//! What was used in the last window: exact where there is little, in small grains where there is
//! much, so that its size is bounded.

use std::collections::VecDeque;

/// Most entries that a window is divided into.
const GRAINS: u64 = 1_000;

/// Uses of one dimension that a window ending now or later may still contain.
#[derive(Clone, Debug)]
pub(super) struct SlidingLog {
    window: u64,
    grain: u64,
    sum: u64,
    entries: VecDeque<Entry>,
}

/// Uses between two times less than a grain apart, counted until the last of them has left.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first: u64,
    last: u64,
    units: u64,
}

impl SlidingLog {
    pub(super) fn new(window: u64) -> Self {
        Self { window, grain: window / GRAINS, sum: 0, entries: VecDeque::new() }
    }

    /// The same uses under another window. Of a longer one, what has left the shorter is unknown.
    pub(super) fn with_window(&self, window: u64) -> Self {
        Self { window, grain: window / GRAINS, ..self.clone() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Units in the window that ends now, with what is ahead, after [`SlidingLog::forget`].
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// When the last use leaves the window.
    pub(super) fn until(&self) -> u64 {
        self.entries.back().map_or(0, |latest| latest.last + self.window)
    }

    /// Drops what no window ending at `now` or later contains.
    pub(super) fn forget(&mut self, now: u64) {
        while let Some(oldest) = self.entries.front()
            && oldest.last + self.window < now
        {
            self.sum -= oldest.units;
            self.entries.pop_front();
        }
    }

    /// The earliest time from `from` on at which the window before it holds `units` more, if it
    /// may hold `limit` (at least `units`). Takes at most one step for each entry.
    pub(super) fn earliest(&self, units: u64, limit: u64, from: u64) -> u64 {
        let mut sum = self.sum;
        let mut at = from;
        for entry in &self.entries {
            if sum.saturating_add(units) <= limit {
                break;
            }
            sum -= entry.units;
            at = at.max(entry.last + self.window + 1);
        }
        at
    }

    /// Adds a use. `at` is never before the one added last.
    pub(super) fn add(&mut self, units: u64, at: u64) {
        self.sum += units;
        match self.entries.back_mut() {
            Some(latest) if at - latest.first <= self.grain => {
                latest.last = at;
                latest.units += units;
            }
            _ => self.entries.push_back(Entry { first: at, last: at, units }),
        }
    }

    /// Replaces a use of `reserved` at `at` by `used`, if it is still in the window.
    pub(super) fn correct(&mut self, at: u64, reserved: u64, used: u64) {
        let place = self.entries.partition_point(|entry| entry.last < at);
        if let Some(entry) = self.entries.get_mut(place).filter(|entry| entry.first <= at) {
            entry.units = entry.units - reserved + used;
            self.sum = self.sum - reserved + used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_counts_until_a_whole_window_has_passed() {
        let mut log = SlidingLog::new(100);
        log.add(6, 10);
        log.add(4, 50);
        assert_eq!(log.earliest(0, 10, 60), 60);
        assert_eq!(log.earliest(1, 10, 60), 111);
        assert_eq!(log.earliest(6, 10, 60), 111);
        assert_eq!(log.earliest(7, 10, 60), 151);
        log.forget(110);
        assert_eq!(log.earliest(7, 10, 110), 151);
        log.forget(111);
        assert_eq!(log.earliest(6, 10, 111), 111);
    }

    #[test]
    fn a_correction_changes_the_use_it_is_about() {
        let mut log = SlidingLog::new(100);
        log.add(6, 10);
        log.add(4, 50);
        log.correct(10, 6, 1);
        assert_eq!(log.earliest(5, 10, 60), 60);
        log.correct(50, 4, 20);
        assert_eq!(log.earliest(1, 10, 60), 151);
        log.forget(111);
        log.correct(10, 1, 50);
        assert_eq!(log.earliest(1, 10, 111), 151, "a use that has left stays away");
    }

    #[test]
    fn the_log_is_bounded() {
        let mut log = SlidingLog::new(60_000_000);
        for at in (0..120_000_000).step_by(1_000) {
            log.forget(at);
            log.add(1, at);
        }
        assert!(log.entries.len() <= 1_001, "{} entries", log.entries.len());
        assert!(log.sum >= 60_000, "{}", log.sum);
    }
}
