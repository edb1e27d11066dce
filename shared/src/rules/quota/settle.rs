//! What the end of a call changes, and pauses.

use std::time::Duration;

use super::{QuotaState, micros};
use crate::domain::{Dimension, Feedback, Spend, Verdict};
use crate::ports::{CallEnd, Lack};
use crate::rules::Breaker;

/// No call uses more of anything; larger numbers are taken for this one, so that sums cannot
/// overflow.
const MOST_UNITS: u64 = 1 << 40;

/// Why an upstream is paused that said 429.
const SAID_429: &str = "429";

impl QuotaState {
    /// Ends a call: replaces what was set aside by what was used, if that is known, and heeds
    /// what the upstream said. `false`: the call is unknown, or its time to live is over; what was
    /// set aside stays used, and nothing is heeded.
    pub fn settle(&mut self, id: u64, end: &CallEnd, now: u64) -> bool {
        let Some(call) = self.calls.end(id, now) else { return false };
        self.meters.throttle(self.throttle.share(now));
        if let Some(used) = end.used.map(bounded) {
            self.meters.correct(id, call.slot, (call.spend, used));
            self.parts.correct(&call.parts, call.slot, (call.spend, used), now);
        }
        let opened = |breaker: &mut Breaker| breaker.record(id, call.slot, end.verdict, now);
        if let Some(until) = self.breaker.as_mut().and_then(opened) {
            self.tell(until, Lack::Breaker);
        }
        let last_id = self.calls.last_id();
        if let (Some(adaptive), Some(took)) = (&mut self.adaptive, end.took) {
            adaptive.record(id, end.verdict, micros(took), last_id);
        }
        self.hear(&end.feedback, (id, last_id), now);
        if end.verdict == Verdict::RateLimited {
            self.limited(end.feedback.retry_after, (id, last_id), now);
        }
        true
    }

    fn hear(&mut self, feedback: &Feedback, ids: (u64, u64), now: u64) {
        if let Some(discovery) = &mut self.discovery {
            let news = feedback.standings.iter().filter(|standing| discovery.hear(standing, now)).count();
            if news > 0 {
                self.meter_found(now);
            }
        }
        for standing in &feedback.standings {
            if let Some(meter) = self.meters.get_mut(standing.dimension) {
                meter.heed(standing, ids.0, ids.1, now);
            }
        }
    }

    fn limited(&mut self, retry_after: Option<Duration>, (id, last_id): (u64, u64), now: u64) {
        let Some(until) = self.throttle.limited(id, last_id, retry_after, now) else { return };
        self.pause(until, SAID_429);
        self.meters.drain(now);
        let Some(discovery) = &mut self.discovery else { return };
        let used = self.meters.get_mut(Dimension::Requests).map_or(0, |meter| meter.used_lately(now));
        if discovery.limited(used, until) {
            self.meter_found(now);
        }
    }

    /// Ends a call that was not made: nothing of it counts. `false`: as of [`QuotaState::settle`].
    pub fn give_back(&mut self, id: u64, now: u64) -> bool {
        self.meters.throttle(self.throttle.share(now));
        if let Some(call) = self.calls.get(id, now) {
            self.meters.uncount(id, call.slot);
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
}

/// What a call uses, within reason.
pub(super) fn bounded(spend: Spend) -> Spend {
    let Spend { input_tokens, output_tokens, money } = spend;
    Spend {
        input_tokens: input_tokens.min(MOST_UNITS),
        output_tokens: output_tokens.min(MOST_UNITS),
        money: money.min(MOST_UNITS),
    }
}
