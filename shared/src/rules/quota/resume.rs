//! How a state goes on when calls were made that it was not told of: while it was out of reach, each
//! process used a share of the limits by a state of its own.
//!
//! What it does not know is bounded, as after a loss: those calls kept to the pace, so whoever knows
//! nothing of the last window may go on at the pace too, from an empty bucket. What it does know, the
//! uses in its logs, still counts.

use super::calls::Call;
use super::settle::bounded;
use super::{Meter, Meters, QuotaState, Slot, SlotAsk, micros};
use crate::domain::{Dimension, Spend};
use crate::ports::{Reservation, UnderWay};

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
    /// at the pace: until the bucket that was drawn from most is full again. 0: nothing was used.
    pub fn deficit(&mut self, now: u64) -> u64 {
        self.meters.throttle(self.throttle.share(now));
        self.meters.prepare(Spend::default(), now);
        self.meters.deficit(now).max(self.parts.deficit(now))
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
    fn doubt(&mut self, money: Option<u64>, from: u64, now: u64) {
        for (dimension, meter) in self.iter_mut() {
            meter.prepare(0, now);
            match money.filter(|_| *dimension == Dimension::Money) {
                Some(units) => meter.take(units, from),
                None => meter.doubt(*dimension, from),
            }
        }
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

    fn deficit(&self, now: u64) -> u64 {
        if self.log.is_empty() {
            return 0;
        }
        let full = self.empty_at.saturating_add(self.refill(self.burst.saturating_add(self.refunded)));
        full.saturating_sub(now)
    }
}
