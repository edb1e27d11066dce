//! A large ask that was refused comes back when its slot has come. Meanwhile smaller asks, whose
//! tokens are always there sooner, must not take what it waits for: else large calls starve. What it can
//! spare until then they may take.

use super::meters::{Meters, units};
use crate::domain::{Dimension, Spend};

/// How long after its slot a claim still stands, in microseconds: the way of a snoozed job.
const GRACE: u64 = 1_000_000;

/// Nothing is claimed that is further ahead, in microseconds: whoever asked may never come back, and
/// nobody would go until then.
const LONGEST: u64 = 600_000_000;

/// The largest refused ask that may come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) spend: Spend,
    /// What it waits for.
    dimension: Dimension,
    /// When it can be had.
    pub(super) slot: u64,
}

impl Claim {
    /// A claim on `spend` at `slot`, if that is near enough.
    pub(super) fn new(spend: Spend, dimension: Dimension, slot: u64, now: u64) -> Option<Self> {
        (slot <= now.saturating_add(LONGEST)).then_some(Self { spend, dimension, slot })
    }

    /// Whether it goes before an ask. It does not before one that is as large: that may be the one that
    /// comes back, and if it is not, it waited as long.
    pub(super) fn goes_before(&self, spend: Spend, now: u64) -> bool {
        let is_smaller = units(spend, self.dimension) < units(self.spend, self.dimension);
        now < self.slot.saturating_add(GRACE) && is_smaller
    }

    /// Whether its slot stays what it is if a smaller ask goes first.
    pub(super) fn is_left_its_slot(&self, spend: Spend, meters: &Meters, now: u64) -> bool {
        meters.iter().all(|(dimension, meter)| {
            let both = units(spend, *dimension) + units(self.spend, *dimension);
            both <= meter.amount() && meter.earliest(both, now) <= self.slot
        })
    }
}
