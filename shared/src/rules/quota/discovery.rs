//! Limits that nobody configured, found from what the upstream says and from its 429s.
//!
//! What its answers state is taken as they state it. Until they state how many calls may go, that
//! number is learned: it doubles several times in a window until the first 429, falls to
//! somewhat less than what went in the last window, and then grows by the same amount in each
//! window without a 429. It grows only if most of it was used: else it would grow without end.
//!
//! The throttle, which answers 429s where limits are known, leaves a learned number alone.

use super::{METERED, Pacing, micros};
use crate::domain::{Dimension, DimensionStanding};
use crate::ports::{Limits, Rate, Rates};

use std::time::Duration;

/// Calls in a minute of which nothing is known.
const FIRST: u64 = 60;
/// So often the number doubles in a minute before the first 429.
const DOUBLINGS: u64 = 6;
/// Found amounts are never larger.
const MOST: u64 = 1 << 30;

const SECOND: u64 = 1_000_000;
/// Window of what is learned, and of what is stated without one.
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What was found of an upstream's limits.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// What people say is not looked for.
    configured: Rates,
    terms: FoundTerms,
    /// In the order of [`METERED`].
    stated: [Option<Stated>; METERED.len()],
    learned: Learned,
}

/// How closely found limits are approached, in ten-thousandths, the same for both twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTerms {
    margin: u64,
    burst: u64,
}

/// A limit found in answers.
#[derive(Clone, Copy, Debug)]
struct Stated {
    amount: u64,
    window: u64,
    /// When an answer said last that it is no more.
    at: u64,
}

/// The number of calls in a minute as far as 429s tell it.
#[derive(Clone, Copy, Debug)]
struct Learned {
    amount: u64,
    /// By so much it grows; 0: it doubles.
    step: u64,
    /// Start of the window in which calls are counted.
    since: u64,
    calls: u64,
}

/// A found limit as it is metered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) dimension: Dimension,
    pub(super) amount: u64,
    /// As it was stated.
    stated_window: u64,
    pub(super) window: u64,
    pub(super) bucket: u64,
    pub(super) learned: bool,
}

impl Found {
    pub(super) fn rate(&self) -> (Dimension, Rate) {
        (self.dimension, Rate { amount: self.amount, window: Duration::from_micros(self.stated_window) })
    }
}

impl Discovery {
    /// `None`: limits are not to be found.
    pub(super) fn new(limits: &Limits, pacing: Pacing, now: u64) -> Option<Self> {
        limits.discover.then(|| Self {
            configured: limits.rates(),
            terms: FoundTerms::from(pacing),
            stated: [None; METERED.len()],
            learned: Learned { amount: FIRST, step: 0, since: now, calls: 0 },
        })
    }

    /// Whether the number of calls is learned: nobody says it.
    fn is_learning(&self) -> bool {
        self.configured.requests.is_none() && self.stated[place(Dimension::Requests)].is_none()
    }

    /// All that was found until now.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> + use<'_> {
        METERED.into_iter().zip(self.stated).filter_map(|(dimension, stated)| {
            let learned = dimension == Dimension::Requests && self.is_learning();
            let (amount, window) = match stated {
                Some(Stated { amount, window, .. }) => (amount, window),
                None if learned => (self.learned.amount, MINUTE),
                None => return None,
            };
            Some(self.terms.meter(dimension, amount, window, learned))
        })
    }

    /// A call was given its slot.
    pub(super) fn taken(&mut self) {
        if self.is_learning() {
            self.learned.calls += 1;
        }
    }

    /// Grows after a window without a 429. Whether it changed anything.
    pub(super) fn grow(&mut self, now: u64) -> bool {
        let Learned { amount, step, since, calls } = self.learned;
        let parts = if step == 0 { DOUBLINGS } else { 1 };
        if !self.is_learning() || now < since + MINUTE / parts {
            return false;
        }
        let was_used = 2 * calls * parts >= amount;
        let more = if step == 0 { amount } else { step };
        let amount = if was_used { (amount + more).min(MOST) } else { amount };
        self.learned = Learned { amount, step, since: now, calls: 0 };
        was_used
    }

    /// A 429 came that begins a pause until a time, after `used` calls in a window. What went is
    /// the best guess of what may go, but one 429 does not prove much.
    pub(super) fn limited(&mut self, used: u64, until: u64) -> bool {
        if !self.is_learning() {
            return false;
        }
        let Learned { amount: failed, step, .. } = self.learned;
        let least = failed / if step == 0 { 4 } else { 2 };
        let amount = (used * 9 / 10).clamp(least, failed * 9 / 10).max(1);
        // Half of what failed went well: it is reached again in a few windows.
        let step = 1.max(amount / 20).max((failed / 2).saturating_sub(amount) / 4);
        self.learned = Learned { amount, step, since: until, calls: 0 };
        true
    }

    /// Hears what an answer states. Whether it changed anything.
    pub(super) fn hear(&mut self, standing: &DimensionStanding, now: u64) -> bool {
        let dimension = standing.dimension;
        let Some(amount) = standing.limit.filter(|limit| *limit > 0) else { return false };
        if matches!(dimension, Dimension::Concurrency | Dimension::Money)
            || self.configured.get(dimension).is_some()
        {
            return false;
        }
        let known = &mut self.stated[place(dimension)];
        let new = Stated { amount: amount.min(MOST), window: window_of(standing, *known), at: now };
        let Some(old) = *known else {
            *known = Some(new);
            return true;
        };
        // More is believed when nobody has said less for a while: models have limits of their own,
        // and answers come in any order.
        if old.window == new.window && new.amount > old.amount && now < old.at + MINUTE {
            return false;
        }
        *known = Some(new);
        (old.amount, old.window) != (new.amount, new.window)
    }
}

impl From<Pacing> for FoundTerms {
    fn from(pacing: Pacing) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most ten thousand")]
        let parts = |share: f64| (share.clamp(0.0, 1.0) * 10_000.0) as u64;
        Self { margin: parts(pacing.margin), burst: parts(pacing.burst) }
    }
}

impl FoundTerms {
    /// As the script takes them.
    pub fn to_text(self) -> String {
        format!("{} {}", self.margin, self.burst)
    }

    fn meter(self, dimension: Dimension, amount: u64, stated_window: u64, learned: bool) -> Found {
        let window = stated_window + stated_window * self.margin / 10_000;
        let bucket = (amount * self.burst / 10_000).max(1);
        Found { dimension, amount, stated_window, window, bucket, learned }
    }
}

/// The stated window. Most say none: it is a minute then, unless the limit was seen to need longer
/// until it is whole again.
fn window_of(standing: &DimensionStanding, known: Option<Stated>) -> u64 {
    if let Some(window) = standing.window {
        return micros(window).clamp(SECOND, DAY);
    }
    let seen = match standing.reset.map_or(0, micros) {
        reset if reset <= MINUTE + MINUTE / 2 || reset >= DAY => MINUTE,
        reset if reset <= HOUR + HOUR / 2 => HOUR,
        _ => DAY,
    };
    known.map_or(seen, |known| seen.max(known.window))
}

fn place(dimension: Dimension) -> usize {
    METERED.iter().position(|metered| *metered == dimension).unwrap_or_default()
}
