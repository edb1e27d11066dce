//! Quotas of this process. The arithmetic is [`QuotaState`]'s; here are the clock and the waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::closings::{Closing, Closings};
use crate::domain::PortError;
use crate::ports::{Admission, Ask, CallEnd, Lack, Limits, Quotas, Reservation, Turn, UpstreamReport};
use crate::rules::{Pacing, QuotaClosing, QuotaState, Slot, SlotAsk, micros, too_large, why};

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

struct Upstream {
    limits: Limits,
    state: Mutex<QuotaState>,
    /// Asks without an answer yet.
    waiting: AtomicU32,
    /// Whoever waits for a place holds the turn; the others queue for it in the order of asking.
    turn: tokio::sync::Mutex<()>,
    /// A place is free.
    freed: Notify,
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
        upstream.freed.notify_one();
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

impl Upstream {
    fn new(limits: Limits, pacing: Pacing) -> Self {
        Self {
            state: Mutex::new(QuotaState::new(&limits, pacing, 0)),
            limits,
            waiting: AtomicU32::new(0),
            turn: tokio::sync::Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, QuotaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a slot, if it is one. `Err`: full; the time until a place is free by itself.
    fn answer(&self, ask: &Ask, slot: Slot, now: u64) -> Result<Result<Admission, PortError>, Duration> {
        let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
        Ok(match slot {
            Slot::Full { until: at } => return Err(until(at)),
            Slot::At { at, id, probe } => {
                let reservation = Reservation { id, upstream: ask.upstream.clone(), spend: ask.spend };
                Ok(Admission::Go { after: until(at), reservation, probe })
            }
            Slot::TooFar { at, lack } => Ok(self.refusal(until(at), lack, now)),
            Slot::Never { lack, limit } => Err(too_large(ask, lack, limit)),
        })
    }

    fn refusal(&self, wait: Duration, lack: Lack, now: u64) -> Admission {
        Admission::NotBefore { wait, lack, why: why(lack, self.state().note(lack, now)) }
    }
}

/// An ask without an answer yet.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Quotas for MemoryQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        let upstream = self.upstream(&ask.upstream);
        let _waiting = Waiting::new(&upstream.waiting);
        let full = |wait| Ok(upstream.refusal(wait, Lack::Concurrency, 0));
        let latest = self.now().saturating_add(micros(ask.hold));
        let Ok(_turn) = timeout(ask.hold, upstream.turn.lock()).await else { return full(FULL_RETRY) };
        loop {
            let now = self.now();
            let hold = latest.saturating_sub(now);
            let slot = upstream.state().admit(&SlotAsk::of(&ask, hold), now);
            let free_in = match upstream.answer(&ask, slot, now) {
                Ok(answer) => return answer,
                Err(free_in) => free_in,
            };
            if hold == 0 {
                return full(free_in.min(FULL_RETRY));
            }
            // Whether a place was freed or the time is over: the state knows.
            let _ = timeout(free_in.min(Duration::from_micros(hold)), upstream.freed.notified()).await;
        }
    }

    async fn turn(&self, reservation: &Reservation, after: Duration) -> Turn {
        let lateness = self.pacing.lateness(&self.upstream(&reservation.upstream).limits);
        self.closings.turn(reservation, after, lateness).await
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

impl Upstream {
    fn report(&self, name: String, now: u64) -> UpstreamReport {
        let standing = self.state().standing(now);
        standing.report(name, self.limits.clone(), self.waiting.load(Ordering::Relaxed), now)
    }
}
