//! One dimension of a quota: paced, and exact over every window.

use super::Pacing;
use super::discovery::Found;
use super::log::SlidingLog;
use super::others::Others;
use crate::domain::{Dimension, DimensionStanding};
use crate::ports::Rate;

/// Of a bucket that needs no time to fill.
const AT_ONCE: u64 = u64::MAX;

/// Who is refused is told no later turn, in microseconds: those before may never come, and limits may be
/// raised.
const LATEST_TURN: u64 = 600_000_000;

/// Meters one dimension. Two rules hold at once:
///
/// - A bucket of size `burst` fills at `effective / window`, and a use must be paid from it before
///   it starts. So uses are spread, and a process that knows nothing of the one before may go on
///   at the same pace without going over.
/// - A log of the last window makes the bound exact: a bucket alone lets `burst + amount` through.
///
/// A 429 slows the first and leaves the second: were the lower rate the log's bound too, nobody could
/// go until enough of the window before had passed, which is a standstill and no slower pace.
///
/// Money is not paced: its bucket is as large as the amount, and its log alone decides. Only a
/// meter that does not know the past has an empty bucket, which fills evenly over one window; one that
/// knows that there is no past begins with a full one.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    amount: u64,
    /// The bucket gains so much in a window: less than the amount after the upstream said 429.
    effective: u64,
    pub(super) window: u64,
    /// Size of the bucket: at least the largest use seen.
    pub(super) burst: u64,
    /// When the bucket was, or will be, empty. May lie further back than a full bucket needs;
    /// [`Meter::take`] cuts it.
    pub(super) empty_at: u64,
    /// Refunds that no later use has drawn on yet: so much more than `burst` the bucket holds.
    pub(super) refunded: u64,
    /// Until then, what an earlier process used may still be in the window.
    pub(super) cold_until: u64,
    /// The part of `empty_at` that stands for that use, and is void after it.
    pub(super) debt: u64,
    pub(super) log: SlidingLog,
    kind: Kind,
    /// Calls up to this one were admitted before it was metered, and are not in the log.
    after: u64,
    /// Who else uses the amount.
    others: Others,
    /// Until then slots go to those who were told to come back for them.
    told_until: u64,
}

/// Where the amount is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// From people.
    Configured,
    /// From answers of the upstream.
    Stated,
    /// From 429s alone; they have lowered it already.
    Learned,
}

impl Kind {
    fn of(found: &Found) -> Self {
        if found.learned { Self::Learned } else { Self::Stated }
    }
}

impl Meter {
    /// Starts at `from`, knowing nothing of what was used before. The process before may have
    /// emptied a full bucket this moment, so this one starts owing it: all but the one unit that
    /// the window's margin covers.
    pub(super) fn new(dimension: Dimension, rate: Rate, pacing: Pacing, from: u64) -> Self {
        let meter = Self::empty(rate.amount, pacing.window(rate), pacing.bucket(dimension, rate), from);
        if dimension == Dimension::Money { meter } else { meter.owing() }
    }

    /// A meter of a limit that was found just now, when `last_id` was admitted last. `older`: what
    /// it was metered by before.
    pub(super) fn found(found: &Found, older: Option<&Self>, last_id: u64, now: u64) -> Self {
        if let Some(older) = older.filter(|older| older.window == found.window) {
            let burst = if found.learned { found.bucket } else { found.bucket.max(older.burst) };
            let (amount, effective) = (found.amount, found.amount);
            return Self { amount, effective, burst, kind: Kind::of(found), ..older.clone() };
        }
        let mut meter = Self::empty(found.amount, found.window, found.bucket, now).owing();
        (meter.kind, meter.after) = (Kind::of(found), last_id);
        if let Some(older) = older {
            meter.log = older.log.with_window(found.window);
        }
        meter
    }

    fn empty(amount: u64, window: u64, burst: u64, from: u64) -> Self {
        Self {
            amount,
            effective: amount.max(1),
            window,
            burst,
            empty_at: from,
            refunded: 0,
            cold_until: from + window,
            debt: 0,
            log: SlidingLog::new(window),
            kind: Kind::Configured,
            after: 0,
            others: Others::default(),
            told_until: 0,
        }
    }

    /// Nothing was used before: of money all may go at once.
    pub(super) fn begin_full(&mut self) {
        self.effective = AT_ONCE;
        self.cold_until = self.empty_at;
    }

    /// What was used before is not known any more.
    pub(super) fn fill_evenly(&mut self) {
        self.effective = self.amount.max(1);
    }

    fn owing(mut self) -> Self {
        self.owe(self.refill(self.burst - 1));
        self
    }

    /// Whether a call that is larger than the amount may go when nothing else does: what was found
    /// is no reason to give a job up.
    pub(super) fn is_found(&self) -> bool {
        self.kind != Kind::Configured
    }

    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Paces uses at so many thousandths of the amount.
    pub(super) fn throttle(&mut self, per_mille: u64) {
        let per_mille = if self.kind == Kind::Learned { 1_000 } else { per_mille };
        let effective = u128::from(self.amount) * u128::from(per_mille) / 1_000;
        self.effective = u64::try_from(effective).unwrap_or(u64::MAX).max(1);
    }

    /// Nothing is left at `now`, as the upstream says: what comes next is spread from here on.
    pub(super) fn drain(&mut self, now: u64) {
        if self.empty_at < now {
            self.empty_at = now;
            self.debt = 0;
        }
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

    pub(super) fn owe(&mut self, time: u64) {
        self.empty_at = self.empty_at.saturating_add(time);
        self.debt = self.debt.saturating_add(time);
    }

    /// The earliest time from `from` on at which `units` may be used.
    pub(super) fn earliest(&self, units: u64, from: u64) -> u64 {
        let units = units.min(self.amount);
        let mut paid = self.empty_at.saturating_add(self.refill(units));
        if self.log.is_empty() && from <= self.cold_until {
            // Nothing was used since the start: then one whole window is always enough.
            paid = paid.min(self.cold_until);
        }
        self.others.earliest(&self.log, units, self.amount, from.max(paid))
    }

    /// When somebody who is refused should come back, whose slot would be at `at`: after those refused
    /// before. If all were told the same time, all would come for one slot.
    pub(super) fn tell(&mut self, units: u64, at: u64) -> u64 {
        let in_turn = self.told_until.max(at);
        let told = if in_turn > at.saturating_add(LATEST_TURN) { at } else { in_turn };
        self.told_until = told.saturating_add(self.refill(units));
        told
    }

    /// A use goes that need not wait: nobody came for what was kept for them.
    pub(super) fn see_free(&mut self, units: u64, now: u64) {
        if self.earliest(units, now) <= now {
            self.told_until = 0;
        }
    }

    /// Uses `units` at `at`, which [`Meter::earliest`] gave.
    pub(super) fn take(&mut self, units: u64, at: u64) {
        let full = at.saturating_sub(self.refill(self.burst.saturating_add(self.refunded)));
        self.empty_at = self.empty_at.max(full);
        // What is void later must not make the bucket larger than it is.
        self.debt = self.debt.min(self.empty_at - full);
        self.empty_at = self.empty_at.saturating_add(self.refill(units));
        self.refunded = self.refunded.saturating_sub(units);
        self.log.add(units, at);
    }

    /// Whether what call `id` took was taken from it.
    pub(super) fn counts(&self, id: u64) -> bool {
        id > self.after
    }

    /// Replaces what was taken at `at` by what was really used. Too much is paid back later, but nothing is owed
    /// any more when the log has forgotten the use: the log alone keeps windows within the amount, and one wrong
    /// number would stop everything for days.
    pub(super) fn correct(&mut self, at: u64, reserved: u64, used: u64) {
        self.log.correct(at, reserved, used);
        if used > reserved {
            let paid_back = self.empty_at.saturating_add(self.refill(used - reserved));
            let forgotten = at.saturating_add(self.window);
            self.empty_at = paid_back.min(self.empty_at.max(forgotten));
        } else {
            self.empty_at = self.empty_at.saturating_sub(self.refill(reserved - used));
            self.refunded = self.refunded.saturating_add(reserved - used);
        }
    }

    /// Forgets one unit taken at `at`: it was not used at all. The bucket gets no larger for it, so
    /// that what many give back at once does not go out at once.
    pub(super) fn put_back(&mut self, at: u64) {
        self.log.correct(at, 1, 0);
        self.empty_at = self.empty_at.saturating_sub(self.refill(1));
    }

    /// Hears from call `id` how the dimension stands; `last_id` was admitted last.
    pub(super) fn heed(&mut self, standing: &DimensionStanding, id: u64, last_id: u64, now: u64) {
        self.log.forget(now);
        let left = self.amount.saturating_sub(self.log.sum());
        self.others.heed(standing, left, self.window, (id, last_id), now);
    }

    /// Used in the window that ends now, with what is ahead.
    pub(super) fn used_lately(&mut self, now: u64) -> u64 {
        self.log.forget(now);
        self.log.sum()
    }

    /// Used in the window until now by us and by others. Of money all counts that its bucket lacks: it may
    /// have been spent before this meter began.
    pub(super) fn used(&self, dimension: Dimension, now: u64) -> (u64, u64) {
        let (used, others) = (self.log.sum(), self.others.units(now));
        let is_cold = dimension == Dimension::Money && now < self.cold_until;
        let unknown = if is_cold { self.lacks(now).saturating_sub(used) } else { 0 };
        (used, others.max(unknown))
    }

    /// Units by which the bucket is not full, if it is as large as the amount.
    fn lacks(&self, now: u64) -> u64 {
        let left = self.empty_at.saturating_add(self.window).saturating_sub(now).min(self.window);
        let units = (u128::from(left) * u128::from(self.amount)).div_ceil(u128::from(self.window.max(1)));
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Whether it has nothing to tell that a new one, begun when this one began, would not.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        let full = self.empty_at.saturating_add(self.refill(self.burst.saturating_add(self.refunded)));
        now > self.cold_until.max(full).max(self.log.until())
    }

    /// Time in which the bucket gains so much, rounded up.
    pub(super) fn refill(&self, units: u64) -> u64 {
        if self.effective == AT_ONCE {
            return 0;
        }
        let exact = u128::from(units) * u128::from(self.window);
        u64::try_from(exact.div_ceil(u128::from(self.effective))).unwrap_or(u64::MAX / 4)
    }
}
