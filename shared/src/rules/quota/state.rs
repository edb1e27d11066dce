//! The state of one upstream.

use super::adaptive::{Adaptive, adaptive_bounds};
use super::calls::{Call, Calls};
use super::claim::Claim;
use super::discovery::Discovery;
use super::meters::Meters;
use super::next::Next;
use super::parts::Parts;
use super::settle::bounded;
use super::tell::QuotaClosing;
use super::throttle::Throttle;
use super::{Pacing, QuotaStanding, Slot, SlotAsk};
use crate::domain::Spend;
use crate::ports::{DimensionUse, Lack, Limits};
use crate::rules::{Breaker, BreakerTerms, Passage};

/// Everything that is known of one upstream's quota.
#[derive(Clone, Debug)]
pub struct QuotaState {
    pub(super) meters: Meters,
    pub(super) parts: Parts,
    pub(super) calls: Calls,
    pub(super) claim: Option<Claim>,
    pub(super) throttle: Throttle,
    pub(super) discovery: Option<Discovery>,
    pub(super) adaptive: Option<Adaptive>,
    pub(super) breaker: Option<Breaker>,
    pub(super) paused_until: u64,
    pub(super) pause_why: String,
    pub(super) last_slot: u64,
    /// What the last two calls set aside; while there were none, what was asked for in vain.
    pub(super) latest: [Spend; 2],
    pub(super) closing: Option<QuotaClosing>,
}

impl QuotaState {
    /// A state that knows nothing of calls before `now`.
    pub fn new(limits: &Limits, pacing: Pacing, now: u64) -> Self {
        let meters = Meters::new(&limits.rates(), pacing, now);
        let throttle = Throttle::new(meters.shortest_window());
        let mut state = Self {
            meters,
            parts: Parts::new(limits, pacing, now),
            calls: Calls::new(limits.concurrency),
            claim: None,
            throttle,
            discovery: Discovery::new(limits, pacing, now),
            adaptive: adaptive_bounds(limits).map(Adaptive::new),
            breaker: limits.breaker.map(|options| Breaker::new(BreakerTerms::from(options), now)),
            paused_until: now,
            pause_why: String::new(),
            last_slot: now,
            latest: [Spend::default(); 2],
            closing: None,
        };
        state.meter_found(now);
        state
    }

    /// Nothing was spent before it begins, as when one process does everything: budgets begin full. A
    /// server's state may be one that was lost, so there they fill evenly over their first window.
    #[must_use]
    pub fn unspent(self) -> Self {
        Self { meters: self.meters.unspent(), parts: self.parts.unspent(), ..self }
    }

    /// Meters what was found until now.
    pub(super) fn meter_found(&mut self, now: u64) {
        if let Some(discovery) = &self.discovery {
            self.meters.find(discovery.found(), self.calls.last_id(), now);
            self.throttle.set_window(self.meters.shortest_window());
        }
    }

    /// Gives a slot and sets aside what it takes in all dimensions, or sets nothing aside.
    /// Slots are given in the order of asking.
    pub fn admit(&mut self, ask: &SlotAsk, now: u64) -> Slot {
        let spend = bounded(ask.spend);
        let parts = self.parts.of(ask, now);
        if let Some((lack, limit)) = self.too_small(&parts, spend) {
            return Slot::Never { lack, limit };
        }
        if let Some(until) = self.calls.full_until(self.places(), now) {
            self.adaptive.iter_mut().for_each(Adaptive::was_full);
            return Slot::Full { until };
        }
        let passage = self.passage(now);
        if let Passage::NotBefore(at) = passage {
            return Slot::TooFar { at, lack: Lack::Breaker, part: None };
        }
        if self.discovery.as_mut().is_some_and(|discovery| discovery.grow(now)) {
            self.meter_found(now);
        }
        self.meters.throttle(self.throttle.share(now));
        self.meters.prepare(spend, now);
        self.parts.prepare(&parts, spend, now);
        let claim = self.claim_before(spend, now);
        let next = self.next_slot(&parts, spend, claim, now);
        let next = Next { at: next.at.max(now.saturating_add(ask.lead)), ..next };
        // What is behind a claim is not given a slot ahead of time: the claim would come after it.
        let hold = if next.is_behind { 0 } else { ask.hold };
        let too_far = next.at > now.saturating_add(hold.max(ask.lead));
        if claim.is_none() {
            self.claim = self.claimed(spend, &next, ask.hold, now).filter(|_| too_far);
        }
        if too_far {
            self.note_wish(spend);
            let at = self.come_back(&parts, ask, &next);
            let part = next.decides.part().map(|place| self.parts.part(place));
            return Slot::TooFar { at, lack: next.decides.lack(), part };
        }
        let at = next.at;
        self.parts.see_free(&parts, spend, now);
        self.take(spend, &parts, at);
        let end = at.saturating_add(ask.ttl);
        let id = self.calls.begin(Call { slot: at, spend, parts, end });
        let probe = passage == Passage::Probe;
        if let Some(breaker) = self.breaker.as_mut().filter(|_| probe) {
            breaker.probe(id, at, end);
        }
        Slot::At { at, id, probe }
    }

    /// How things stand.
    pub fn standing(&mut self, now: u64) -> QuotaStanding {
        let share = self.throttle.share(now);
        self.meters.throttle(share);
        self.meters.prepare(Spend::default(), now);
        let used = self.meters.iter().map(|(dimension, meter)| {
            let (used, others) = meter.used(*dimension, now);
            DimensionUse { dimension: *dimension, used, others, limit: meter.amount() }
        });
        QuotaStanding {
            in_flight: u32::try_from(self.calls.under_way(now)).unwrap_or(u32::MAX),
            paused_until: self.paused_until,
            pause_why: self.pause_why.clone(),
            next_start: self.next_start(now),
            next_spend: self.next_spend(),
            effective: u32::try_from(share).unwrap_or(u32::MAX),
            used: used.collect(),
            breaker: self.breaker.as_ref().map(|breaker| breaker.standing(now)),
            found: self.discovery.iter().flat_map(Discovery::found).map(|found| found.rate()).collect(),
            places: self.places().map(|places| u32::try_from(places).unwrap_or(u32::MAX)),
        }
    }

    /// A state that has let nobody go would take the next call for one that uses nothing.
    fn note_wish(&mut self, spend: Spend) {
        if self.latest[1] == Spend::default() {
            self.latest = [spend, self.latest[0]];
        }
    }

    pub(super) fn take(&mut self, spend: Spend, parts: &[String], at: u64) {
        self.last_slot = at;
        self.latest = [spend, self.latest[0]];
        self.discovery.iter_mut().for_each(Discovery::taken);
        self.meters.take(spend, at);
        self.parts.take(parts, spend, at);
    }
}
