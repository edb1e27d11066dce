//! The state of one upstream.

use super::calls::{Call, Calls};
use super::claim::Claim;
use super::meters::Meters;
use super::parts::Parts;
use super::tell::QuotaClosing;
use super::throttle::Throttle;
use super::{Pacing, QuotaStanding, Slot, SlotAsk};
use crate::domain::{Dimension, Spend, Verdict};
use crate::ports::{CallEnd, DimensionUse, Lack, Limits};
use crate::rules::{Breaker, BreakerTerms, Passage};

/// Everything that is known of one upstream's quota.
#[derive(Clone, Debug)]
pub struct QuotaState {
    pub(super) meters: Meters,
    pub(super) parts: Parts,
    pub(super) calls: Calls,
    claim: Option<Claim>,
    throttle: Throttle,
    pub(super) breaker: Option<Breaker>,
    pub(super) paused_until: u64,
    pub(super) pause_why: String,
    pub(super) last_slot: u64,
    pub(super) closing: Option<QuotaClosing>,
}

/// No call uses more of anything; larger numbers are taken for this one, so that sums cannot
/// overflow.
const MOST_UNITS: u64 = 1 << 40;

/// Why an upstream is paused that said 429.
const SAID_429: &str = "429";

impl QuotaState {
    /// A state that knows nothing of calls before `now`.
    pub fn new(limits: &Limits, pacing: Pacing, now: u64) -> Self {
        let meters = Meters::new(&limits.rates(), pacing, now);
        let paced = meters.iter().filter(|(dimension, _)| *dimension != Dimension::Money);
        let throttle = Throttle::new(paced.map(|(_, meter)| meter.window()).min());
        Self {
            meters,
            parts: Parts::new(limits, pacing, now),
            calls: Calls::new(limits.concurrency),
            claim: None,
            throttle,
            breaker: limits.breaker.map(|options| Breaker::new(BreakerTerms::from(options), now)),
            paused_until: now,
            pause_why: String::new(),
            last_slot: now,
            closing: None,
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
        if let Some(until) = self.calls.full_until(now) {
            return Slot::Full { until };
        }
        let passage = self.passage(now);
        if let Passage::NotBefore(at) = passage {
            return Slot::TooFar { at, lack: Lack::Breaker };
        }
        self.meters.throttle(self.throttle.share(now));
        self.meters.prepare(spend, now);
        self.parts.prepare(&parts, spend, now);
        let before = self.claim.and_then(|claim| claim.goes_before(spend, now));
        let (at, lack) = self.next_slot(&parts, spend, before.unwrap_or_default(), now);
        // What is behind a claim is not given a slot ahead of time: the claim would come after it.
        let hold = if before.is_some() { 0 } else { ask.hold };
        let too_far = at > now.saturating_add(hold);
        if before.is_none() {
            self.claim =
                self.claimed(spend, lack, ask.hold).filter(|_| too_far).map(|of| Claim::new(spend, of, at));
        }
        if too_far {
            return Slot::TooFar { at, lack: lack.lack() };
        }
        self.take(spend, &parts, at);
        let end = at.saturating_add(ask.ttl);
        let id = self.calls.begin(Call { slot: at, spend, parts, end });
        let probe = passage == Passage::Probe;
        if let Some(breaker) = self.breaker.as_mut().filter(|_| probe) {
            breaker.probe(id, end);
        }
        Slot::At { at, id, probe }
    }

    /// Ends a call: replaces what was set aside by what was used, if that is known, and heeds
    /// what the upstream said. `false`: the call is unknown, or its time to live is over; what was
    /// set aside stays used, and nothing is heeded.
    pub fn settle(&mut self, id: u64, end: &CallEnd, now: u64) -> bool {
        let Some(call) = self.calls.end(id, now) else { return false };
        self.meters.throttle(self.throttle.share(now));
        if let Some(used) = end.used.map(bounded) {
            self.meters.correct(call.slot, call.spend, used);
            self.parts.correct(&call.parts, call.slot, (call.spend, used), now);
        }
        let opened = |breaker: &mut Breaker| breaker.record(id, call.slot, end.verdict, now);
        if let Some(until) = self.breaker.as_mut().and_then(opened) {
            self.tell(until, Lack::Breaker);
        }
        let last_id = self.calls.last_id();
        for standing in &end.feedback.standings {
            if let Some(meter) = self.meters.get_mut(standing.dimension) {
                meter.heed(standing, id, last_id, now);
            }
        }
        if end.verdict == Verdict::RateLimited
            && let Some(until) = self.throttle.limited(id, last_id, end.feedback.retry_after, now)
        {
            self.pause(until, SAID_429);
        }
        true
    }

    /// Ends a call that was not made: nothing of it counts. `false`: as of [`QuotaState::settle`].
    pub fn give_back(&mut self, id: u64, now: u64) -> bool {
        self.meters.throttle(self.throttle.share(now));
        if let Some(call) = self.calls.get(id, now) {
            self.meters.uncount(call.slot);
            self.parts.uncount(&call.parts, call.slot, now);
        }
        self.settle(id, &CallEnd::unknown(Some(Spend::default())), now)
    }

    /// Gives no slot before `until`. `false`: a pause that ends no earlier is on already.
    pub fn pause(&mut self, until: u64, why: &str) -> bool {
        let longer = until > self.paused_until;
        if longer {
            self.paused_until = until;
            why.clone_into(&mut self.pause_why);
            self.tell(until, Lack::Pause);
        }
        longer
    }

    /// How things stand.
    pub fn standing(&mut self, now: u64) -> QuotaStanding {
        let share = self.throttle.share(now);
        self.meters.throttle(share);
        self.meters.prepare(Spend::default(), now);
        let used = self.meters.iter().map(|(dimension, meter)| {
            let (used, others) = meter.used(now);
            DimensionUse { dimension: *dimension, used, others, limit: meter.amount() }
        });
        QuotaStanding {
            in_flight: u32::try_from(self.calls.under_way(now)).unwrap_or(u32::MAX),
            paused_until: self.paused_until,
            pause_why: self.pause_why.clone(),
            next_start: self.next_start(now),
            effective: u32::try_from(share).unwrap_or(u32::MAX),
            used: used.collect(),
            breaker: self.breaker.as_ref().map(|breaker| breaker.standing(now)),
        }
    }

    fn take(&mut self, spend: Spend, parts: &[String], at: u64) {
        self.last_slot = at;
        self.meters.take(spend, at);
        self.parts.take(parts, spend, at);
    }
}

fn bounded(spend: Spend) -> Spend {
    let Spend { input_tokens, output_tokens, money } = spend;
    Spend {
        input_tokens: input_tokens.min(MOST_UNITS),
        output_tokens: output_tokens.min(MOST_UNITS),
        money: money.min(MOST_UNITS),
    }
}
