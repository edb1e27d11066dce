//! A large ask that was refused comes back when its slot has come. Meanwhile smaller asks, whose
//! tokens are always there sooner, must not take what it waits for: else large calls starve.

/// How long after its slot a claim still stands, in microseconds: the way of a snoozed job.
const GRACE: u64 = 1_000_000;

/// The largest refused ask that may come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    tokens: u64,
    until: u64,
}

impl Claim {
    /// A claim on `tokens` at `slot`.
    pub(super) fn new(tokens: u64, slot: u64) -> Self {
        Self { tokens, until: slot.saturating_add(GRACE) }
    }

    /// How many tokens go before an ask for `tokens`. None before one that is as large: it may be
    /// the one that comes back, and if it is not, it waited as long.
    pub(super) fn goes_before(self, tokens: u64, now: u64) -> u64 {
        if now < self.until && tokens < self.tokens { self.tokens } else { 0 }
    }
}
