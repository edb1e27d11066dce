//! A large ask that was refused comes back when its slot has come. Meanwhile smaller asks, whose
//! tokens are always there sooner, must not take what it waits for: else large calls starve.

use super::meters::units;
use crate::domain::{Dimension, Spend};

/// How long after its slot a claim still stands, in microseconds: the way of a snoozed job.
const GRACE: u64 = 1_000_000;

/// The largest refused ask that may come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    spend: Spend,
    /// What it waits for.
    dimension: Dimension,
    until: u64,
}

impl Claim {
    /// A claim on `spend` at `slot`.
    pub(super) fn new(spend: Spend, dimension: Dimension, slot: u64) -> Self {
        Self { spend, dimension, until: slot.saturating_add(GRACE) }
    }

    /// What goes before an ask. Nothing before one that is as large: it may be the one that comes
    /// back, and if it is not, it waited as long.
    pub(super) fn goes_before(self, spend: Spend, now: u64) -> Option<Spend> {
        let is_smaller = units(spend, self.dimension) < units(self.spend, self.dimension);
        (now < self.until && is_smaller).then_some(self.spend)
    }
}
