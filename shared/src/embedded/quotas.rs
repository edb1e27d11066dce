//! Quotas of this process. The arithmetic is [`QuotaState`]'s; here are the clock and the waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::line::Place;
use super::upstream::{Upstream, Waiting};
use crate::closings::{Closing, Closings};
use crate::domain::PortError;
use crate::ports::{
    Absence, Admission, Ask, CallEnd, FleetQuotas, Lack, Limits, PartName, Quotas, Reservation, SlotTime,
    Turn, UpstreamReport,
};
use crate::rules::{Pacing, QuotaClosing, QuotaState, Slot, SlotAsk, micros};

/// When to ask again after the hold has passed without a free place. Nobody knows when a call
/// under way ends.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Quotas in memory. What an earlier process used is unknown: see [`Pacing::burst`].
pub struct MemoryQuotas {
    /// Time zero of all states.
    started: Instant,
    pacing: Pacing,
    closings: Closings,
    upstreams: Mutex<BTreeMap<String, Arc<Upstream>>>,
}

impl MemoryQuotas {
    /// Quotas with these limits by upstream, and the usual pacing.
    pub fn new(limits: BTreeMap<String, Limits>) -> Self {
        Self::with_pacing(limits, Pacing::default())
    }

    /// Quotas with these limits by upstream.
    pub fn with_pacing(limits: BTreeMap<String, Limits>, pacing: Pacing) -> Self {
        let upstreams =
            limits.into_iter().map(|(name, limits)| (name, Arc::new(Upstream::new(limits, pacing))));
        let closings = Closings::default();
        Self { started: Instant::now(), pacing, closings, upstreams: Mutex::new(upstreams.collect()) }
    }

    /// Goes on after calls that were made without it: see [`QuotaState::begin_share`].
    pub(crate) fn begin_share(&self, upstream: &str, ahead: Duration) {
        self.change(upstream, |state, now| state.begin_share(micros(ahead), now));
    }

    /// See [`QuotaState::deficit`].
    pub(crate) fn deficit(&self, upstream: &str) -> (Duration, Vec<(PartName, Duration)>) {
        let (whole, parts) = self.upstream(upstream).state().deficit(self.now());
        let parts = parts.into_iter().map(|(part, deficit)| (part, Duration::from_micros(deficit)));
        (Duration::from_micros(whole), parts.collect())
    }

    fn now(&self) -> u64 {
        micros(self.started.elapsed())
    }

    /// Changes an upstream's state, and tells those who wait for their slots if that closes it.
    fn change(&self, name: &str, change: impl FnOnce(&mut QuotaState, u64)) {
        let upstream = self.upstream(name);
        let mut state = upstream.state();
        change(&mut state, self.now());
        if let Some(QuotaClosing { last_id, until, lack }) = state.take_closing() {
            let until = self.started + Duration::from_micros(until);
            let note = state.note(lack, self.now()).to_owned();
            self.closings.tell(name, Closing { last_id, until, lack, note });
        }
        drop(state);
        upstream.line.look();
    }

    /// The answer to an ask, if it is not that all places are taken: then when one gets free by
    /// itself.
    fn try_once(
        &self,
        upstream: &Upstream,
        ask: &Ask,
        latest: u64,
    ) -> Result<Result<Admission, PortError>, Duration> {
        let now = self.now();
        let slot = upstream.state().admit(&SlotAsk::of(ask, latest.saturating_sub(now)), now);
        upstream.answer(ask, slot, now, self.started)
    }

    /// Tries once unless somebody who waits goes before. `Err`: a place in the line, if there is
    /// time to wait, and when to try again.
    fn first_try<'a>(
        &self,
        upstream: &'a Upstream,
        ask: &Ask,
        latest: u64,
    ) -> Result<Result<Admission, PortError>, (Option<Place<'a>>, Duration)> {
        let mut line = upstream.line.lock();
        let free_in = if line.goes_before(ask.priority) {
            FULL_RETRY
        } else {
            match self.try_once(upstream, ask, latest) {
                Ok(answer) => return Ok(answer),
                Err(free_in) => free_in,
            }
        };
        let may_wait = !ask.hold.is_zero();
        Err((may_wait.then(|| line.join(&upstream.line, ask.priority)), free_in))
    }

    fn upstream(&self, name: &str) -> Arc<Upstream> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = upstreams.get(name) {
            return Arc::clone(upstream);
        }
        let unlimited = Arc::new(Upstream::new(Limits::default(), self.pacing));
        upstreams.insert(name.to_owned(), Arc::clone(&unlimited));
        unlimited
    }
}

#[async_trait]
impl Quotas for MemoryQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        let upstream = self.upstream(&ask.upstream);
        let _waiting = Waiting::new(&upstream.waiting);
        let latest = self.now().saturating_add(micros(ask.hold));
        let (place, mut free_in) = match self.first_try(&upstream, &ask, latest) {
            Ok(answer) => return answer,
            Err(full) => full,
        };
        while let Some(left) = Some(latest.saturating_sub(self.now())).filter(|left| *left > 0)
            && let Some(place) = &place
        {
            let _ = timeout(free_in.min(Duration::from_micros(left)), place.sign()).await;
            let line = upstream.line.lock();
            if !place.is_first(&line) {
                free_in = ask.hold;
                continue;
            }
            free_in = match self.try_once(&upstream, &ask, latest) {
                Ok(answer) => return answer,
                Err(free_in) => free_in,
            };
        }
        Ok(upstream.refusal(free_in.min(FULL_RETRY), Lack::Concurrency, 0))
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.closings.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        self.change(&reservation.upstream, |state, now| {
            state.give_back(reservation.id, now);
        });
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        self.change(&reservation.upstream, |state, now| {
            state.settle(reservation.id, &end, now);
        });
        Ok(())
    }

    /// Nobody is to be told.
    async fn flush(&self) {}

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.change(upstream, |state, now| {
            state.pause(now.saturating_add(micros(wait)), why);
        });
        Ok(())
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        let now = self.now();
        let upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(upstreams.iter().map(|(name, upstream)| upstream.report(name.clone(), now)).collect())
    }
}

/// Always in reach of whoever shares them in this process.
#[async_trait]
impl FleetQuotas for MemoryQuotas {
    async fn reach(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn resume(&self, upstream: &str, absence: Absence) -> Result<Vec<Option<Reservation>>, PortError> {
        let mut reservations = Vec::new();
        self.change(upstream, |state, now| {
            state.resume(micros(absence.ahead), Some(absence.money), now);
            for (part, ahead) in &absence.parts {
                state.doubt_part(part, micros(*ahead), now);
            }
            let begun = absence.calls.iter().map(|call| match state.begun(&call.ask(), now) {
                Slot::At { id, .. } => Some(call.reservation(upstream, id)),
                _ => None,
            });
            reservations.extend(begun);
        });
        Ok(reservations)
    }
}
