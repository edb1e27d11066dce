//! Others who use the same quota: what the upstream says is left, and we did not use.

use super::log::SlidingLog;
use super::micros;
use crate::domain::DimensionStanding;

/// What others use of one dimension. It only ever takes from what we may use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    units: u64,
    /// When the upstream has forgotten it.
    until: u64,
    /// The call admitted last when this was heard.
    heard_of: u64,
}

impl Others {
    /// Hears a standing while we think that `left` units are left. What makes no sense is
    /// ignored: nothing left and no word on when there will be, a reset now or after more than a
    /// window, another window than ours. Answers may come in any order: only calls that were
    /// admitted after the last word can say that there is more than it said.
    pub(super) fn heed(
        &mut self,
        standing: &DimensionStanding,
        left: u64,
        window: u64,
        (id, last_id): (u64, u64),
        now: u64,
    ) {
        let Some(remaining) = standing.remaining else { return };
        if standing.window.is_some_and(|theirs| is_another(micros(theirs), window)) {
            return;
        }
        let reset = match standing.reset {
            Some(reset) => micros(reset),
            None if remaining > 0 => window,
            None => return,
        };
        if reset == 0 || reset > window {
            return;
        }
        let units = left.saturating_sub(remaining);
        if units >= self.units(now) || id > self.heard_of {
            *self = Self { units, until: now + reset, heard_of: last_id };
        }
    }

    pub(super) fn units(self, now: u64) -> u64 {
        if now < self.until { self.units } else { 0 }
    }

    /// The earliest time from `from` on at which `units` fit in `limit` beside ours and theirs.
    pub(super) fn earliest(self, log: &SlidingLog, units: u64, limit: u64, from: u64) -> u64 {
        let alone = log.earliest(units, limit, from);
        if self.units == 0 || from >= self.until {
            return alone;
        }
        let without = alone.max(self.until);
        if units.saturating_add(self.units) > limit {
            return without;
        }
        log.earliest(units, limit - self.units, from).min(without)
    }
}

/// Ours is stretched a little.
fn is_another(theirs: u64, ours: u64) -> bool {
    theirs > ours || theirs < ours / 2
}
