//! Quotas of this process. The arithmetic is [`QuotaState`]'s; here are the clock and the waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::domain::PortError;
use crate::ports::{Admission, Ask, Limits, Quotas, Reservation, UpstreamReport};
use crate::rules::{Lack, Pacing, QuotaState, Slot, SlotAsk, micros, too_large, why};

/// When to ask again after the hold has passed without a free place. Nobody knows when a call
/// under way ends.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Quotas in memory. What an earlier process used is unknown: see [`Pacing::burst`].
pub struct MemoryQuotas {
    /// Time zero of all states.
    started: Instant,
    pacing: Pacing,
    upstreams: Mutex<BTreeMap<String, Arc<Upstream>>>,
}

struct Upstream {
    limits: Limits,
    book: Mutex<Book>,
    /// Whoever waits for a place holds the turn; the others queue for it in the order of asking.
    turn: tokio::sync::Mutex<()>,
    /// A place is free.
    freed: Notify,
}

struct Book {
    state: QuotaState,
    pause_why: String,
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
        Self { started: Instant::now(), pacing, upstreams: Mutex::new(upstreams.collect()) }
    }

    fn now(&self) -> u64 {
        micros(self.started.elapsed())
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
        let book = Book { state: QuotaState::new(limits, pacing, 0), pause_why: String::new() };
        Self { limits, book: Mutex::new(book), turn: tokio::sync::Mutex::default(), freed: Notify::new() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a slot, if it is one. `Err`: full; the time until a place is free by itself.
    fn answer(&self, ask: &Ask, slot: Slot, now: u64) -> Result<Result<Admission, PortError>, Duration> {
        let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
        Ok(match slot {
            Slot::Full { until: at } => return Err(until(at)),
            Slot::At { at, id } => {
                let reservation = Reservation { id, upstream: ask.upstream.clone(), tokens: ask.tokens };
                Ok(Admission::Go { after: until(at), reservation })
            }
            Slot::TooFar { at, lack } => Ok(Admission::NotBefore { wait: until(at), why: self.why(lack) }),
            Slot::Never { lack, limit } => Err(too_large(ask, lack, limit)),
        })
    }

    fn why(&self, lack: Lack) -> String {
        why(lack, &self.book().pause_why)
    }
}

#[async_trait]
impl Quotas for MemoryQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        let upstream = self.upstream(&ask.upstream);
        let full = |wait| Ok(Admission::NotBefore { wait, why: upstream.why(Lack::Concurrency) });
        let latest = self.now().saturating_add(micros(ask.hold));
        let Ok(_turn) = timeout(ask.hold, upstream.turn.lock()).await else { return full(FULL_RETRY) };
        loop {
            let now = self.now();
            let hold = latest.saturating_sub(now);
            let slot_ask = SlotAsk { tokens: ask.tokens, hold, ttl: micros(ask.slot_ttl) };
            let slot = upstream.book().state.admit(slot_ask, now);
            let free_in = match upstream.answer(&ask, slot, now) {
                Ok(answer) => return answer,
                Err(free_in) => free_in,
            };
            if hold == 0 {
                return full(free_in.min(FULL_RETRY));
            }
            // Whether a place was freed or the time is over: the book knows.
            let _ = timeout(free_in.min(Duration::from_micros(hold)), upstream.freed.notified()).await;
        }
    }

    async fn settle(&self, reservation: Reservation, tokens_used: Option<u64>) -> Result<(), PortError> {
        let upstream = self.upstream(&reservation.upstream);
        upstream.book().state.settle(reservation.id, tokens_used, self.now());
        upstream.freed.notify_one();
        Ok(())
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        let upstream = self.upstream(upstream);
        let mut book = upstream.book();
        if book.state.pause(self.now().saturating_add(micros(wait))) {
            why.clone_into(&mut book.pause_why);
        }
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
        let mut book = self.book();
        let until = |at: u64| Duration::from_micros(at.saturating_sub(now));
        let pause = until(book.state.paused_until());
        UpstreamReport {
            upstream: name,
            limits: self.limits,
            in_flight: u32::try_from(book.state.in_flight(now)).unwrap_or(u32::MAX),
            paused: (!pause.is_zero()).then(|| (pause, book.pause_why.clone())),
            next_in: until(book.state.next_start(now)),
        }
    }
}
