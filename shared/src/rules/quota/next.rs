//! When the next call may start, and what decides that.

use super::adaptive::Adaptive;
use super::claim::Claim;
use super::meters::units;
use super::settle::bounded;
use super::{QuotaState, SlotAsk};
use crate::domain::{Dimension, Spend};
use crate::ports::Lack;
use crate::rules::{BreakerStanding, Passage};

/// Why an open breaker refuses.
const OPEN: &str = "open";
/// Why a half-open one does.
const PROBING: &str = "one call tries whether the upstream is well again";

impl QuotaState {
    /// What the breaker says of one more call.
    pub(super) fn passage(&self, now: u64) -> Passage {
        self.breaker.as_ref().map_or(Passage::Free, |breaker| breaker.admit(now))
    }

    /// What people should know of a refusal beside what lacks; often nothing.
    pub fn note(&self, lack: Lack, now: u64) -> &str {
        match lack {
            Lack::Pause => &self.pause_why,
            Lack::Breaker => match self.breaker.as_ref().map(|breaker| breaker.standing(now)) {
                Some(BreakerStanding::HalfOpen(_)) => PROBING,
                _ => OPEN,
            },
            _ => "",
        }
    }

    /// When the next call could start if a place were free: one as large as the smaller of the last
    /// two. If nothing were asked for its tokens, more would be sent ahead than can be given a slot;
    /// if one large call were taken for all, small ones would wait for what they do not need. What is
    /// claimed goes before it, as before any.
    pub(super) fn next_start(&self, now: u64) -> u64 {
        let smaller = self.next_spend();
        let slot = self.next_slot(&[], smaller, self.claim_before(smaller, now), now).at;
        if let Passage::NotBefore(at) = self.passage(now) { slot.max(at) } else { slot }
    }

    /// What the next call is taken to use.
    pub(super) fn next_spend(&self) -> Spend {
        let [latest, other] = self.latest;
        Spend {
            input_tokens: latest.input_tokens.min(other.input_tokens),
            output_tokens: latest.output_tokens.min(other.output_tokens),
            money: latest.money.min(other.money),
        }
    }

    /// When an ask that is refused should come back: of a part in turn, and half a hold before its slot, as
    /// the dispatcher sends those that only the whole limits.
    pub(super) fn come_back(&mut self, parts: &[String], ask: &SlotAsk, next: &Next) -> u64 {
        let (Decides::Part(place, dimension), false) = (next.decides, next.is_behind) else { return next.at };
        self.parts.tell(&parts[place], dimension, bounded(ask.spend), next.at).saturating_sub(ask.hold / 2)
    }

    /// Calls that may be under way.
    pub(super) fn places(&self) -> Option<u64> {
        let found = self.adaptive.as_ref().map(Adaptive::places);
        [self.calls.limit(), found].into_iter().flatten().min()
    }

    pub(super) fn too_small(&self, parts: &[String], spend: Spend) -> Option<(Lack, u64)> {
        let metered = self.meters.too_small(spend).or_else(|| self.parts.too_small(parts, spend));
        let places = || self.calls.limit().filter(|limit| *limit < 1).map(|limit| (Lack::Concurrency, limit));
        metered.map(|(dimension, limit)| (dimension.into(), limit)).or_else(places)
    }

    /// The claim that goes before an ask.
    pub(super) fn claim_before(&self, spend: Spend, now: u64) -> Option<Claim> {
        self.claim.filter(|claim| claim.goes_before(spend, now))
    }

    /// The earliest slot beside a claim that goes before.
    pub(super) fn next_slot(&self, parts: &[String], spend: Spend, claim: Option<Claim>, now: u64) -> Next {
        let (at, decides) = self.slot_after(parts, spend, Spend::default(), now);
        let is_behind = claim
            .filter(|claim| at > claim.slot || !claim.is_left_its_slot(spend, &self.meters, now))
            .map(|claim| self.slot_after(parts, spend, claim.spend, now));
        match is_behind {
            Some((at, decides)) => Next { at, decides, is_behind: true },
            None => Next { at, decides, is_behind: false },
        }
    }

    /// The earliest slot, and what decides it. Never before a slot that was given. `before`: what
    /// the upstream must still have for a call that goes before this one.
    fn slot_after(&self, parts: &[String], spend: Spend, before: Spend, now: u64) -> (u64, Decides) {
        let all = Spend {
            input_tokens: spend.input_tokens + before.input_tokens,
            output_tokens: spend.output_tokens + before.output_tokens,
            money: spend.money + before.money,
        };
        let order = (self.last_slot.max(now), Decides::Order);
        let pause = (self.paused_until, Decides::Pause);
        let parts = self.parts.earliest(parts, spend, now).into_iter();
        let parts = parts.map(|(at, place, dimension)| (at, Decides::Part(place, dimension)));
        let whole = self.meters.earliest(all, now).map(|(at, dimension)| (at, Decides::Whole(dimension)));
        let later = |best: (u64, Decides), next: (u64, Decides)| if next.0 >= best.0 { next } else { best };
        [pause].into_iter().chain(parts).chain(whole).fold(order, later)
    }

    /// What an ask claims if it is refused: one that would have to wait for more than can be given ahead of
    /// time, as smaller asks are. Those are sent as soon as less than half a hold is given out, so already
    /// an ask of most of the other half would find its place taken again and again. Money is not paced: what
    /// is left goes to whoever asks.
    pub(super) fn claimed(&self, spend: Spend, next: &Next, hold: u64, now: u64) -> Option<Claim> {
        let Decides::Whole(dimension) = next.decides else { return None };
        let is_tokens = !matches!(dimension, Dimension::Requests | Dimension::Money);
        let refills_too_slowly = self.meters.get(dimension)?.refill(units(spend, dimension)) > hold / 5 * 2;
        if is_tokens && refills_too_slowly { Claim::new(spend, dimension, next.at, now) } else { None }
    }
}

/// The next slot of an ask.
pub(super) struct Next {
    pub(super) at: u64,
    pub(super) decides: Decides,
    /// Whether a claim goes before it that it would make later.
    pub(super) is_behind: bool,
}

/// What decides when a slot is.
#[derive(Clone, Copy)]
pub(super) enum Decides {
    /// The slots given before.
    Order,
    Pause,
    /// A tenant's or a model's limit: the part in this place.
    Part(usize, Dimension),
    /// The upstream's limit.
    Whole(Dimension),
}

impl Decides {
    /// The part's place, if one does.
    pub(super) fn part(self) -> Option<usize> {
        if let Self::Part(place, _) = self { Some(place) } else { None }
    }

    pub(super) fn lack(self) -> Lack {
        match self {
            // Whoever asked before asked with a longer hold.
            Self::Order => Lack::Requests,
            Self::Pause => Lack::Pause,
            Self::Part(_, dimension) | Self::Whole(dimension) => dimension.into(),
        }
    }
}
