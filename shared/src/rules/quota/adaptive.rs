//! How many calls at a time go to an upstream, found from how long they take.
//!
//! Calls are looked at in rounds, each of calls that were admitted under the same number. A round
//! in which calls take longer than they do unhindered lowers the number in proportion; else it
//! grows by its square root. How long calls take unhindered is measured anew every so often, in a
//! round with half of the number: work changes, and a queue that stands is no longer seen from
//! within. Means are compared, not single calls: those of models differ tenfold by themselves.
//!
//! See `docs/adr/0009-concurrency-follows-latency.md` for what else was considered.

use crate::domain::Verdict;
use crate::ports::Limits;

/// A round after which the unhindered time is measured again.
const ROUNDS: u64 = 20;
/// Calls in a round: twice the places, within these.
const CALLS: (u64, u64) = (30, 200);
/// So much longer than unhindered, in thousandths, is still as good.
const AS_GOOD: u64 = 1_100;
/// A round lowers the number to this at least, in quarters.
const LOWEST: u64 = 3;
/// With so many failures in ten the number falls by a tenth.
const FAILURES: u64 = 1;
/// More places are never found.
const MOST_PLACES: u32 = 1_000_000;
/// Longer calls are taken for this, about twelve days.
const LONGEST: u64 = 1 << 40;

/// The number, and what it rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adaptive {
    min: u64,
    max: u64,
    limit: u64,
    /// Mean time of a call that nothing hinders; 0: unknown.
    base: u64,
    /// Rounds since that was measured; 0: it is being measured.
    rounds: u64,
    /// The number when it was measured.
    measured_at: u64,
    round: Round,
}

/// What is known of the calls of a round.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Calls up to this one were admitted before.
    after: u64,
    calls: u64,
    /// Their times together.
    took: u64,
    failed: u64,
    /// Whether somebody found no place: else nothing is known of a larger number.
    was_full: bool,
}

impl Round {
    fn new(after: u64) -> Self {
        Self { after, calls: 0, took: 0, failed: 0, was_full: false }
    }
}

impl Adaptive {
    /// Begins within these bounds, see [`adaptive_bounds`].
    pub(super) fn new((min, max): (u64, u64)) -> Self {
        Self { min, max, limit: min, base: 0, rounds: 0, measured_at: min, round: Round::new(0) }
    }

    /// Calls that may be under way now.
    pub(super) fn places(&self) -> u64 {
        if self.rounds == 0 { self.min.max(self.limit / 2) } else { self.limit }
    }

    /// Somebody found no place.
    pub(super) fn was_full(&mut self) {
        self.round.was_full = true;
    }

    /// Call `id` took so long; `last_id` was admitted last.
    pub(super) fn record(&mut self, id: u64, verdict: Verdict, took: u64, last_id: u64) {
        if id <= self.round.after {
            return;
        }
        match verdict {
            Verdict::Healthy => {
                self.round.calls += 1;
                self.round.took += took.min(LONGEST);
            }
            Verdict::Failing => self.round.failed += 1,
            Verdict::RateLimited | Verdict::Unknown => return,
        }
        let needed = (2 * self.places()).clamp(CALLS.0, CALLS.1);
        if self.round.calls + self.round.failed >= needed {
            self.end_round();
            self.round = Round::new(last_id);
        }
    }

    fn end_round(&mut self) {
        let Round { calls, took, failed, was_full, .. } = self.round;
        let fails = 10 * failed > FAILURES * (calls + failed);
        if fails {
            self.limit = self.min.max(self.limit * 9 / 10);
        }
        if calls == 0 {
            return;
        }
        let mean = 1.max(took / calls);
        if self.rounds == 0 {
            (self.base, self.measured_at) = (mean, self.limit);
        } else if was_full && !fails {
            let gradient = (AS_GOOD * self.base / mean).min(1_000);
            let wanted = self.limit * gradient / 1_000 + self.limit.isqrt();
            self.limit = wanted.max(self.limit * LOWEST / 4).clamp(self.min, self.max);
        }
        // That it falls so far is news of the work, not of the number.
        let fell = 2 * self.limit < self.measured_at;
        self.rounds = if fell { 0 } else { (self.rounds + 1) % ROUNDS };
    }
}

/// The least and the most places, if their number is to be found. Never more than `concurrency`: a
/// number above it would be of no use, and would have to fall to it before a fall is felt.
pub fn adaptive_bounds(limits: &Limits) -> Option<(u64, u64)> {
    let options = limits.adaptive?;
    let most = limits.concurrency.unwrap_or(MOST_PLACES).clamp(1, MOST_PLACES);
    let min = options.min.clamp(1, most);
    Some((min.into(), options.max.clamp(min, most).into()))
}
