//! Quota arithmetic of one upstream: who may call, and when. Pure: times are microseconds that
//! the caller passes in.
//!
//! A call gets a slot: a time at which it may start. For any window of the configured length,
//! what all slots in it use stays within the limit, in every dimension. The provider counts
//! arrivals, not slots, so the window is stretched by [`Pacing::margin`]: two calls may be that
//! much closer on arrival. See `meter.rs` for how one dimension is metered, `calls.rs` for
//! concurrency, `parts.rs` for tenants and models, `claim.rs` for why small asks do not starve
//! large ones, `throttle.rs` for 429s, `others.rs` for what the upstream says is left, `next.rs` for what
//! decides the time of a slot, `settle.rs` for what the end of a call changes, `discovery.rs` for
//! limits that nobody configured, `resume.rs` for calls that were made without it, `adaptive.rs` for concurrency that follows latency. Health is apart: `rules/breaker`.

mod adaptive;
mod calls;
mod claim;
mod discovery;
mod log;
mod meter;
mod meters;
mod next;
mod others;
mod pacing;
mod parts;
mod resume;
mod settle;
mod state;
mod tell;
#[cfg(test)]
mod tests;
mod throttle;
mod words;

pub use adaptive::adaptive_bounds;
pub use discovery::FoundTerms;
use meter::Meter;
pub use meters::METERED;
use meters::Meters;
use meters::all_rates;
pub use pacing::{LEAST_LATENESS, Pacing, micros};
pub use parts::Part;
pub use state::QuotaState;
pub use tell::QuotaClosing;
pub use throttle::pause_after;
pub use words::{dollars, too_large, why};

use std::time::Duration;

use super::breaker::BreakerStanding;
use crate::domain::{Dimension, Spend};
use crate::ports::{Ask, BreakerReport, DimensionUse, Lack, Limits, Rate, UpstreamReport};

/// A wish for a slot. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotAsk {
    /// What to set aside, beside the call itself.
    pub spend: Spend,
    /// Longest wait that is still a yes.
    pub hold: u64,
    /// Shortest wait.
    pub lead: u64,
    /// From its slot on, how long the call can take at most.
    pub ttl: u64,
    /// For whom.
    pub tenant: String,
    /// With which model; empty: none.
    pub model: String,
}

impl SlotAsk {
    /// What is left of an ask when its hold is so many microseconds.
    pub fn of(ask: &Ask, hold: u64) -> Self {
        let (tenant, model) = (ask.tenant.clone(), ask.model.clone().unwrap_or_default());
        let (lead, ttl) = (micros(ask.lead), micros(ask.slot_ttl));
        Self { spend: ask.spend, hold, lead, ttl, tenant, model }
    }
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
        /// Whether it is the breaker's probe.
        probe: bool,
    },
    /// The next slot is beyond the hold, or the breaker lets nobody go; nothing is set aside.
    TooFar {
        /// When the slot would be.
        at: u64,
        /// What decides that.
        lack: Lack,
        /// Whose limit within the upstream's does, if it is one of those.
        part: Option<Part>,
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

/// How an upstream stands. Times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaStanding {
    /// Calls under way, those waiting for their slot included.
    pub in_flight: u32,
    /// When the pause ends or ended.
    pub paused_until: u64,
    /// Why it was called.
    pub pause_why: String,
    /// When the next call could start if a place were free, if it takes as much as the smaller of the
    /// last two.
    pub next_start: u64,
    /// What that call is taken to use.
    pub next_spend: Spend,
    /// Share of the rates in use, in thousandths.
    pub effective: u32,
    /// What is used of the limits, in the order of [`METERED`].
    pub used: Vec<DimensionUse>,
    /// How the breaker stands, if there is one.
    pub breaker: Option<BreakerStanding>,
    /// Limits that were found, in the order of [`METERED`].
    pub found: Vec<(Dimension, Rate)>,
    /// Calls that may be under way.
    pub places: Option<u32>,
}

impl QuotaStanding {
    /// The same as the port says it, with times from `now` on.
    pub fn report(self, upstream: String, mut limits: Limits, waiting: u32, now: u64) -> UpstreamReport {
        let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
        let pause = until(self.paused_until);
        limits.concurrency = self.places;
        for (dimension, rate) in self.found {
            match dimension {
                Dimension::Requests => limits.requests = Some(rate),
                Dimension::InputTokens => limits.input_tokens = Some(rate),
                Dimension::OutputTokens => limits.output_tokens = Some(rate),
                Dimension::Tokens => limits.tokens = Some(rate),
                Dimension::Concurrency | Dimension::Money => {}
            }
        }
        UpstreamReport {
            upstream,
            limits,
            effective: self.effective,
            used: self.used,
            in_flight: self.in_flight,
            waiting,
            apart: false,
            paused: (!pause.is_zero()).then_some((pause, self.pause_why)),
            next_in: until(self.next_start),
            next_spend: self.next_spend,
            breaker: self.breaker.map(|standing| match standing {
                BreakerStanding::Closed(failures) => {
                    BreakerReport::Closed { failures: u32::try_from(failures).unwrap_or(u32::MAX) }
                }
                BreakerStanding::Open(at) => BreakerReport::Open { probe_in: until(at) },
                BreakerStanding::HalfOpen(probing) => BreakerReport::HalfOpen { probing },
            }),
        }
    }
}
