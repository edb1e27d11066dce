//! What passes between a worker and the quotas: asks, waits, calls and what they used.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use super::labels::{Counted, OfUpstream, Outcome, lack_name, verdict_name};
use super::{Metrics, times};
use crate::domain::{Dimension, PortError};
use crate::ports::{Admission, Ask, CallEnd, Quotas, Reservation, SlotTime, Turn, UpstreamReport};

/// Millionths of the currency in one.
const MILLION: f64 = 1e6;

type Money = Counter<f64, AtomicU64>;

/// Quotas whose answers are counted.
pub struct MeteredQuotas {
    quotas: Arc<dyn Quotas>,
    admissions: Family<Outcome, Counter>,
    waiting: Family<OfUpstream, Gauge>,
    waits: Family<OfUpstream, Histogram>,
    calls: Family<Outcome, Counter>,
    durations: Family<OfUpstream, Histogram>,
    tokens: Family<Counted, Counter>,
    money: Family<OfUpstream, Money>,
}

impl MeteredQuotas {
    /// Quotas that add to these metrics.
    pub fn new(quotas: Arc<dyn Quotas>, metrics: &mut Metrics) -> Self {
        let metered = Self {
            quotas,
            admissions: Family::default(),
            waiting: Family::default(),
            waits: Family::new_with_constructor(times),
            calls: Family::default(),
            durations: Family::new_with_constructor(times),
            tokens: Family::default(),
            money: Family::default(),
        };
        let Self { admissions, waiting, waits, calls, durations, tokens, money, .. } = &metered;
        metrics.add("admissions", "Answers to asks for quota: go, or what lacked", admissions.clone());
        metrics.add("quota_asks_waiting", "Asks for quota without an answer", waiting.clone());
        metrics.add("quota_wait_seconds", "From an ask for quota to the slot it was given", waits.clone());
        metrics.add("calls", "Calls that were made, by what their end says of the upstream", calls.clone());
        metrics.add("call_duration_seconds", "Calls, from their slot to their end", durations.clone());
        metrics.add(
            "tokens",
            "Tokens used by calls; estimated where the upstream says nothing",
            tokens.clone(),
        );
        metrics.add("money", "Money used by calls, in units of the currency", money.clone());
        metered
    }

    fn admitted(&self, upstream: &str, admission: &Admission, asked: Duration) {
        let answer = match admission {
            Admission::Go { slot, .. } => {
                self.waits
                    .get_or_create(&OfUpstream::new(upstream))
                    .observe((asked + slot.wait()).as_secs_f64());
                "go"
            }
            Admission::NotBefore { lack, .. } => lack_name(*lack),
        };
        self.admissions.get_or_create(&Outcome::new(upstream, answer)).inc();
    }

    fn called(&self, reservation: &Reservation, end: &CallEnd, took: Duration) {
        let name = &reservation.upstream;
        self.calls.get_or_create(&Outcome::new(name, verdict_name(end.verdict))).inc();
        self.durations.get_or_create(&OfUpstream::new(name)).observe(took.as_secs_f64());
        let used = end.used.unwrap_or(reservation.spend);
        let add =
            |dimension, tokens| self.tokens.get_or_create(&Counted::new(name, dimension)).inc_by(tokens);
        add(Dimension::InputTokens, used.input_tokens);
        add(Dimension::OutputTokens, used.output_tokens);
        if used.money > 0 {
            self.money.get_or_create(&OfUpstream::new(name)).inc_by(used.money as f64 / MILLION);
        }
    }
}

/// One ask more, until it is dropped.
struct Waiting<'a>(&'a MeteredQuotas, OfUpstream);

impl<'a> Waiting<'a> {
    fn new(quotas: &'a MeteredQuotas, upstream: &str) -> Self {
        let upstream = OfUpstream::new(upstream);
        quotas.waiting.get_or_create(&upstream).inc();
        Self(quotas, upstream)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.get_or_create(&self.1).dec();
    }
}

#[async_trait]
impl Quotas for MeteredQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        let (upstream, asked) = (ask.upstream.clone(), Instant::now());
        let waiting = Waiting::new(self, &upstream);
        let admission = self.quotas.admit(ask).await?;
        drop(waiting);
        self.admitted(&upstream, &admission, asked.elapsed());
        Ok(admission)
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.quotas.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        self.quotas.give_back(reservation);
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        // What was never called used nothing.
        if let Some(took) = end.took {
            self.called(&reservation, &end, took);
        }
        self.quotas.settle(reservation, end).await
    }

    async fn flush(&self) {
        self.quotas.flush().await;
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.quotas.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        self.quotas.report().await
    }
}
