//! Quota arithmetic of one upstream: who may call, and when. Pure: times are microseconds that
//! the caller passes in.
//!
//! A call gets a slot: a time at which it may start. For any window of the configured length,
//! the requests, and the tokens, of all slots in it stay within the limit. The provider counts
//! arrivals, not slots, so the window is stretched by [`Pacing::margin`]: two calls may be that
//! much closer on arrival. See `meter.rs` for how one dimension is metered, `calls.rs` for
//! concurrency, `claim.rs` for why small asks do not starve large ones.

mod calls;
mod claim;
mod log;
mod meter;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use calls::Calls;
use claim::Claim;
use meter::Meter;
pub use words::{too_large, why};

use crate::ports::{Limits, Rate};

/// How closely a limit is approached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacing {
    /// Share of the window by which it is stretched, for jitter between a slot and the call's
    /// arrival; it costs as large a share of the quota. 0.005 of a minute covers 300 ms.
    pub margin: f64,
    /// Share of the limit that may be used at once after a quiet time; one call may be larger.
    /// A state that does not know the past waits until as much could have been refilled, so that
    /// a restart does not go over the limit. That is exact for requests, and for tokens if both
    /// processes make calls as large and guess their tokens right. 1.0 is exact whatever happened
    /// before: the limit may be used in one burst, and each start waits one window.
    pub burst: f64,
}

impl Pacing {
    /// The window as it is metered, in microseconds.
    pub fn window(self, rate: Rate) -> u64 {
        micros(rate.window).max(1) + micros(rate.window.mul_f64(self.margin.clamp(0.0, 1.0)))
    }

    /// Units that may be used at once after a quiet time.
    pub fn bucket(self, rate: Rate) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u64")]
        let bucket = (rate.amount as f64 * self.burst.clamp(0.0, 1.0)) as u64;
        bucket.max(1)
    }
}

impl Default for Pacing {
    fn default() -> Self {
        Self { margin: 0.005, burst: 0.02 }
    }
}

/// A wish for a slot. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct SlotAsk {
    /// Tokens to set aside.
    pub tokens: u64,
    /// Longest wait that is still a yes.
    pub hold: u64,
    /// From its slot on, how long the call can take at most.
    pub ttl: u64,
}

/// Answer to a [`SlotAsk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Call then; everything is set aside under this number.
    At {
        /// When.
        at: u64,
        /// Number of the call.
        id: u64,
    },
    /// The next slot is beyond the hold; nothing is set aside.
    TooFar {
        /// When the slot would be.
        at: u64,
        /// What decides that.
        lack: Lack,
    },
    /// As many calls are under way as may be; nothing is set aside.
    Full {
        /// When a place gets free by itself, if nobody settles before.
        until: u64,
    },
    /// Could never be answered with yes.
    Never {
        /// In which dimension.
        lack: Lack,
        /// The limit there.
        limit: u64,
    },
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Calls in the window.
    Requests,
    /// Tokens in the window.
    Tokens,
    /// Calls at the same time.
    Concurrency,
    /// A pause.
    Pause,
}

/// Everything that is known of one upstream's quota.
#[derive(Clone, Debug)]
pub struct QuotaState {
    requests: Option<Meter>,
    tokens: Option<Meter>,
    calls: Calls,
    claim: Option<Claim>,
    paused_until: u64,
    last_slot: u64,
}

/// No call uses more tokens; larger numbers are taken for this one, so that sums cannot overflow.
const MOST_TOKENS: u64 = 1 << 40;

impl QuotaState {
    /// A state that knows nothing of calls before `now`.
    pub fn new(limits: Limits, pacing: Pacing, now: u64) -> Self {
        Self {
            requests: limits.requests.map(|rate| Meter::new(rate, pacing, now)),
            tokens: limits.tokens.map(|rate| Meter::new(rate, pacing, now)),
            calls: Calls::new(limits.concurrency),
            claim: None,
            paused_until: now,
            last_slot: now,
        }
    }

    /// Gives a slot and sets aside what it takes in all dimensions, or sets nothing aside.
    /// Slots are given in the order of asking.
    pub fn admit(&mut self, ask: SlotAsk, now: u64) -> Slot {
        let tokens = ask.tokens.min(MOST_TOKENS);
        if let Some(never) = self.never(tokens) {
            return never;
        }
        if let Some(until) = self.calls.full_until(now) {
            return Slot::Full { until };
        }
        self.prepare(tokens, now);
        let behind = self.claim.map_or(0, |claim| claim.goes_before(tokens, now));
        let (at, lack) = self.next_slot(tokens + behind, now);
        // What is behind a claim is not given a slot ahead of time: the claim would come after it.
        let hold = if behind > 0 { 0 } else { ask.hold };
        let too_far = at > now.saturating_add(hold);
        if behind == 0 {
            let needs_claim = too_far && lack == Lack::Tokens && self.refills_too_slowly(tokens, ask.hold);
            self.claim = needs_claim.then(|| Claim::new(tokens, at));
        }
        if too_far {
            return Slot::TooFar { at, lack };
        }
        Slot::At { at, id: self.take(tokens, at, ask.ttl) }
    }

    /// Ends a call, and replaces the tokens set aside by those used, if that is known. `false`:
    /// the call is unknown, or its time to live is over; what was set aside stays used.
    pub fn settle(&mut self, id: u64, used: Option<u64>, now: u64) -> bool {
        let Some(call) = self.calls.end(id, now) else { return false };
        if let (Some(meter), Some(used)) = (&mut self.tokens, used) {
            meter.correct(call.slot, call.tokens, used.min(MOST_TOKENS));
        }
        true
    }

    /// Gives no slot before `until`. `false`: a pause that ends no earlier is on already.
    pub fn pause(&mut self, until: u64) -> bool {
        let longer = until > self.paused_until;
        self.paused_until = self.paused_until.max(until);
        longer
    }

    /// When the pause ends or ended.
    pub fn paused_until(&self) -> u64 {
        self.paused_until
    }

    /// Calls under way, those waiting for their slot included.
    pub fn in_flight(&mut self, now: u64) -> usize {
        self.calls.under_way(now)
    }

    /// When the next small call could start if a place were free.
    pub fn next_start(&mut self, now: u64) -> u64 {
        self.prepare(0, now);
        self.next_slot(0, now).0
    }

    fn never(&self, tokens: u64) -> Option<Slot> {
        let requests = self.requests.as_ref().map(|meter| (Lack::Requests, 1, meter.amount()));
        let tokens = self.tokens.as_ref().map(|meter| (Lack::Tokens, tokens, meter.amount()));
        let places = self.calls.limit().map(|limit| (Lack::Concurrency, 1, limit));
        let (lack, _, limit) =
            [requests, tokens, places].into_iter().flatten().find(|(_, units, limit)| units > limit)?;
        Some(Slot::Never { lack, limit })
    }

    fn prepare(&mut self, tokens: u64, now: u64) {
        if let Some(meter) = &mut self.requests {
            meter.prepare(1, now);
        }
        if let Some(meter) = &mut self.tokens {
            meter.prepare(tokens, now);
        }
    }

    /// The earliest slot, and what decides it. Never before a slot that was given.
    fn next_slot(&self, tokens: u64, now: u64) -> (u64, Lack) {
        let requests = self.requests.as_ref().map(|meter| (meter.earliest(1, now), Lack::Requests));
        let tokens =
            self.tokens.as_ref().map(|meter| (meter.earliest(tokens.min(meter.amount()), now), Lack::Tokens));
        let pause = Some((self.paused_until, Lack::Pause));
        let order = Some((self.last_slot.max(now), Lack::Tokens));
        let all = [order, pause, tokens, requests];
        all.into_iter().flatten().max_by_key(|(at, _)| *at).expect("two are always there")
    }

    /// Whether an ask so large can never be given a slot ahead of time, as smaller ones are.
    fn refills_too_slowly(&self, tokens: u64, hold: u64) -> bool {
        self.tokens.as_ref().is_some_and(|meter| meter.refill(tokens) > hold)
    }

    fn take(&mut self, tokens: u64, at: u64, ttl: u64) -> u64 {
        self.last_slot = at;
        if let Some(meter) = &mut self.requests {
            meter.take(1, at);
        }
        if let Some(meter) = &mut self.tokens {
            meter.take(tokens, at);
        }
        self.calls.begin(at, tokens, at.saturating_add(ttl))
    }
}

/// Microseconds, at most so many that two can be added.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 8)
}
