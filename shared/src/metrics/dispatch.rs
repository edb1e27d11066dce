//! What passes between a dispatcher and the ledger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::watch;

use super::labels::OfKind;
use super::{Metrics, counts};
use crate::domain::{Envelope, JobId, PortError};
use crate::ports::{DispatchAsk, DispatchLedger, News, Offer, OfferLedger, Scope, Swept};

/// A ledger whose dispatches are counted.
pub struct MeteredDispatch {
    ledger: Arc<dyn DispatchLedger>,
    dispatched: Family<OfKind, Counter>,
    repeated: Family<OfKind, Counter>,
    batches: Histogram,
    swept: Counter,
    crash_looped: Counter,
}

impl MeteredDispatch {
    /// A ledger that adds to these metrics.
    pub fn new(ledger: Arc<dyn DispatchLedger>, metrics: &mut Metrics) -> Self {
        let metered = Self {
            ledger,
            dispatched: Family::default(),
            repeated: Family::default(),
            batches: counts(),
            swept: Counter::default(),
            crash_looped: Counter::default(),
        };
        metrics.add("dispatched", "Jobs taken from the ledger for their line", metered.dispatched.clone());
        metrics.add(
            "repeated",
            "Messages sent again, since their line may have lost them",
            metered.repeated.clone(),
        );
        metrics.add("dispatch_batch_jobs", "Jobs of one dispatch that had any", metered.batches.clone());
        metrics.add("swept", "Jobs that were lost after their dispatch and put back", metered.swept.clone());
        metrics.add(
            "crash_looped",
            "Jobs that died since they were lost too often",
            metered.crash_looped.clone(),
        );
        metered
    }
}

impl MeteredDispatch {
    fn note(&self, envelopes: &[Envelope]) {
        if !envelopes.is_empty() {
            self.batches.observe(envelopes.len() as f64);
        }
        for same in envelopes.chunk_by(|one, next| one.kind == next.kind) {
            self.dispatched.get_or_create(&OfKind::new(&same[0].kind)).inc_by(same.len() as u64);
        }
    }
}

#[async_trait]
impl OfferLedger for MeteredDispatch {
    fn offer(&self, offer: Option<Offer>) {
        self.ledger.offer(offer);
    }

    async fn offered(&self) -> Option<Result<Vec<Envelope>, PortError>> {
        let offered = self.ledger.offered().await;
        if let Some(Ok(envelopes)) = &offered {
            self.note(envelopes);
        }
        offered
    }
}

#[async_trait]
impl DispatchLedger for MeteredDispatch {
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        let envelopes = self.ledger.dispatch(ask).await?;
        self.note(&envelopes);
        Ok(envelopes)
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError> {
        self.ledger.handed_out(scope, kind).await
    }

    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        let envelopes = self.ledger.messages(kind, jobs).await?;
        self.repeated.get_or_create(&OfKind::new(kind)).inc_by(envelopes.len() as u64);
        Ok(envelopes)
    }

    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError> {
        self.ledger.next_due(scope).await
    }

    async fn sweep(&self, scope: Scope, older_than: Duration, max_losses: u16) -> Result<Swept, PortError> {
        let swept = self.ledger.sweep(scope, older_than, max_losses).await?;
        self.swept.inc_by(swept.requeued);
        self.crash_looped.inc_by(swept.crash_looped);
        Ok(swept)
    }

    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError> {
        self.ledger.end_left(silent_for).await
    }

    fn changes(&self) -> watch::Receiver<News> {
        self.ledger.changes()
    }
}
