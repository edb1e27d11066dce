//! How a state goes on when calls were made that it was not told of: while it was out of reach, each
//! process used a share of the limits by a state of its own.
//!
//! What it does not know is bounded, as after a loss: those calls kept to the pace, so whoever knows
//! nothing of the last window may go on at the pace too, from an empty bucket. What it does know, the
//! uses in its logs, still counts.

use std::time::Duration;

use super::calls::Call;
use super::settle::bounded;
use super::{Meter, Meters, Pacing, QuotaState, Slot, SlotAsk, micros};
use crate::domain::{Dimension, Spend};
use crate::ports::{PartName, Reservation, UnderWay};

impl QuotaState {
    /// Goes on after calls that it was not told of. Nobody starts within `ahead`: until then others
    /// may still call. `money`: what they spent, if that is known; then it counts as spent now.
    pub fn resume(&mut self, ahead: u64, money: Option<u64>, now: u64) {
        self.meters.throttle(self.throttle.share(now));
        let from = self.last_slot.max(now.saturating_add(ahead));
        self.last_slot = from;
        self.meters.doubt(money, from, now);
        self.parts.doubt(from);
    }

    /// As [`QuotaState::resume`], for a tenant's or a model's limit alone: of that, more was used.
    pub fn doubt_part(&mut self, part: &PartName, ahead: u64, now: u64) {
        self.parts.doubt_one(part, now.saturating_add(ahead), now);
    }

    /// Goes on for another state, which may just have let a burst through, and whose limits are no smaller.
    /// `ahead`: until the other one's would be refilled, of the upstream's own limits; those of tenants and
    /// models are made up for one by one.
    pub fn begin_share(&mut self, ahead: u64, now: u64) {
        self.resume(ahead, None, now);
        self.parts.after_burst();
    }

    /// Takes over a call under way that was admitted elsewhere, under limits that are no larger: it goes,
    /// or could never.
    pub fn begun(&mut self, ask: &SlotAsk, now: u64) -> Slot {
        let spend = bounded(ask.spend);
        let at = self.last_slot.max(now);
        let parts = self.parts.of(ask, now);
        if let Some((lack, limit)) = self.too_small(&parts, spend) {
            return Slot::Never { lack, limit };
        }
        self.meters.throttle(self.throttle.share(now));
        self.meters.prepare(spend, now);
        self.parts.prepare(&parts, spend, now);
        self.take(spend, &parts, at);
        let end = at.saturating_add(ask.ttl);
        let id = self.calls.begin(Call { slot: at, spend, parts, end });
        Slot::At { at, id, probe: false }
    }

    /// How long another state must wait that does not know what this one let through, before it goes on
    /// at the pace: until the bucket that was drawn from most is full again. 0: nothing was used. Then the
    /// same of tenants and models that must wait for longer.
    pub fn deficit(&mut self, now: u64) -> (u64, Vec<(PartName, u64)>) {
        self.meters.throttle(self.throttle.share(now));
        self.meters.prepare(Spend::default(), now);
        let whole = self.meters.deficit(now);
        let mut parts = self.parts.deficits(now);
        parts.retain(|(_, deficit)| *deficit > whole);
        (whole, parts)
    }
}

impl UnderWay {
    /// The ask that it would have been.
    pub(crate) fn ask(&self) -> SlotAsk {
        let (tenant, model) = (self.tenant.clone(), self.model.clone().unwrap_or_default());
        SlotAsk { spend: self.spend, hold: 0, lead: 0, ttl: micros(self.ends_in), tenant, model }
    }

    /// What is set aside for it under a number.
    pub(crate) fn reservation(&self, upstream: &str, id: u64) -> Reservation {
        Reservation { id, upstream: upstream.to_owned(), spend: self.spend }
    }
}

impl Meters {
    pub(super) fn doubt(&mut self, money: Option<u64>, from: u64, now: u64) {
        for (dimension, meter) in self.iter_mut() {
            meter.prepare(0, now);
            match money.filter(|_| *dimension == Dimension::Money) {
                Some(units) => meter.take(units, from),
                None => meter.doubt(*dimension, from),
            }
        }
    }

    /// Another state, of whose limits these are shares, may have emptied its buckets.
    pub(super) fn owe_burst(&mut self, pacing: Pacing) {
        self.paced().for_each(|meter| meter.owe_burst(pacing));
    }

    /// Money is not paced: it is told, not waited for.
    pub(super) fn deficit(&self, now: u64) -> u64 {
        let paced = self.iter().filter(|(dimension, _)| *dimension != Dimension::Money);
        paced.map(|(_, meter)| meter.deficit(now)).max().unwrap_or(0)
    }
}

impl Meter {
    /// From then on it is as empty as one that begins, but for what it knows of.
    fn doubt(&mut self, dimension: Dimension, from: u64) {
        let is_money = dimension == Dimension::Money;
        if is_money {
            self.fill_evenly();
        }
        let owed = if is_money { 0 } else { self.refill(self.burst - 1) };
        let debt = self.debt.max(owed);
        self.empty_at = self.empty_at.saturating_sub(self.debt).max(from).saturating_add(debt);
        self.debt = debt;
        self.refunded = 0;
        self.cold_until = from.saturating_add(self.window);
    }

    /// A bucket is rounded down, so that of a share may be a smaller part of its limit.
    fn owe_burst(&mut self, pacing: Pacing) {
        let unrounded = micros(Duration::from_micros(self.window).mul_f64(pacing.burst.clamp(0.0, 1.0)));
        let burst = self.refill(self.burst).max(unrounded);
        self.owe(burst.saturating_sub(self.debt));
    }

    fn deficit(&self, now: u64) -> u64 {
        if self.log.is_empty() {
            return 0;
        }
        let full = self.empty_at.saturating_add(self.refill(self.burst.saturating_add(self.refunded)));
        full.saturating_sub(now)
    }
}
