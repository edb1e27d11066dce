//! What is known of one upstream in this process, and the answers made of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;
use crate::domain::PortError;
use crate::ports::{Admission, Ask, Lack, Limits, Reservation, SlotTime, UpstreamReport};
use crate::rules::{Pacing, QuotaState, Slot, too_large, why};

/// One upstream's quota in memory.
pub(super) struct Upstream {
    limits: Limits,
    /// So much later than its slot a call may start.
    lateness: Option<Duration>,
    state: Mutex<QuotaState>,
    /// Asks without an answer yet.
    pub(super) waiting: AtomicU32,
    /// Who waits for a place.
    pub(super) line: Line,
}

impl Upstream {
    pub(super) fn new(limits: Limits, pacing: Pacing) -> Self {
        Self {
            state: Mutex::new(QuotaState::new(&limits, pacing, 0).unspent()),
            lateness: pacing.lateness(&limits),
            limits,
            waiting: AtomicU32::new(0),
            line: Line::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, QuotaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a slot, if it is one. `Err`: full; the time until a place is free by itself.
    /// `started`: when time zero was.
    pub(super) fn answer(
        &self,
        ask: &Ask,
        slot: Slot,
        now: u64,
        started: Instant,
    ) -> Result<Result<Admission, PortError>, Duration> {
        let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
        Ok(match slot {
            Slot::Full { until: at } => return Err(until(at)),
            Slot::At { at, id, probe } => {
                let reservation = Reservation { id, upstream: ask.upstream.clone(), spend: ask.spend };
                let begins = started + Duration::from_micros(at);
                let slot = SlotTime { begins, ends: self.lateness.map(|lateness| begins + lateness) };
                Ok(Admission::Go { slot, reservation, probe })
            }
            Slot::TooFar { at, lack, part: Some(part) } => {
                Ok(Admission::NotBefore { wait: until(at), lack, why: why(lack, &part.note(ask)) })
            }
            Slot::TooFar { at, lack, part: None } => Ok(self.refusal(until(at), lack, now)),
            Slot::Never { lack, limit } => Err(too_large(ask, lack, limit)),
        })
    }

    pub(super) fn refusal(&self, wait: Duration, lack: Lack, now: u64) -> Admission {
        Admission::NotBefore { wait, lack, why: why(lack, self.state().note(lack, now)) }
    }

    pub(super) fn report(&self, name: String, now: u64) -> UpstreamReport {
        let standing = self.state().standing(now);
        standing.report(name, self.limits.clone(), self.waiting.load(Ordering::Relaxed), now)
    }
}

/// An ask without an answer yet.
pub(super) struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    pub(super) fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
