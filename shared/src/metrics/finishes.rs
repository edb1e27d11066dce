//! What passes between a worker and the ledger: how long jobs waited, how attempts ended, and how many
//! outcomes one transaction records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::labels;
use super::{Metrics, counts, times};
use crate::domain::{Decision, JobId, PortError};
use crate::ports::{Finish, FinishLedger, Finished, Validity};

/// A ledger whose finishes are counted.
pub struct MeteredFinishes {
    ledger: Arc<dyn FinishLedger>,
    outcomes: Family<labels::Finished, Counter>,
    batches: Histogram,
    durations: Histogram,
    waits: Histogram,
}

impl MeteredFinishes {
    /// A ledger that adds to these metrics.
    pub fn new(ledger: Arc<dyn FinishLedger>, metrics: &mut Metrics) -> Self {
        let outcomes = Family::default();
        let (batches, durations, waits) = (counts(), times(), times());
        metrics.add("finishes", "Outcomes that were recorded, or refused", outcomes.clone());
        metrics.add("finish_batch_jobs", "Outcomes in one transaction", batches.clone());
        metrics.add("finish_duration_seconds", "Transactions that record outcomes", durations.clone());
        metrics.add("job_queue_wait_seconds", "From a job's submission to its first attempt", waits.clone());
        Self { ledger, outcomes, batches, durations, waits }
    }

    /// The first hand-over of a job that was submitted for itself ends its waiting in the queue. The
    /// time of submission stands in the id, by the ledger's clock.
    fn first_looks(&self, dispatches: &[(JobId, u64)], answers: &[Validity]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for ((job, fence), validity) in dispatches.iter().zip(answers) {
            if *fence == 1 && *validity == Validity::Current {
                self.waits.observe(now.saturating_sub(submitted(*job)).as_secs_f64());
            }
        }
    }
}

/// Since 1970: the first 48 bits of a UUID v7 are milliseconds.
fn submitted(job: JobId) -> Duration {
    let bytes = job.as_bytes();
    let ms = bytes[..6].iter().fold(0_u64, |ms, byte| ms << 8 | u64::from(*byte));
    Duration::from_millis(ms)
}

fn name(decision: &Decision, finished: &Finished) -> &'static str {
    match (finished, decision) {
        (Finished::Stale, _) => "stale",
        (Finished::Refused(_), _) => "refused",
        (Finished::Recorded, Decision::Succeed(_)) => "succeeded",
        (Finished::Recorded, Decision::Reuse { .. }) => "reused_or_later",
        (Finished::Recorded, Decision::Retry { .. }) => "retried",
        (Finished::Recorded, Decision::Snooze { .. }) => "snoozed",
        (Finished::Recorded, Decision::Die { .. }) => "dead",
        (Finished::Recorded, Decision::Cancel) => "cancelled",
        (Finished::Recorded, Decision::Ignore) => "left_alone",
    }
}

#[async_trait]
impl FinishLedger for MeteredFinishes {
    async fn validity(
        &self,
        dispatches: Vec<(JobId, u64)>,
        renew_after: Duration,
    ) -> Result<Vec<Validity>, PortError> {
        let answers = self.ledger.validity(dispatches.clone(), renew_after).await?;
        self.first_looks(&dispatches, &answers);
        Ok(answers)
    }

    async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        self.ledger.args(job).await
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        let began = Instant::now();
        // What is counted does not say more than the name.
        let names: Vec<_> = finishes
            .iter()
            .map(|finish| {
                let of = |finished: &Finished| name(&finish.decision, finished);
                [of(&Finished::Recorded), of(&Finished::Stale), of(&Finished::Refused(String::new()))]
            })
            .collect();
        let answers = self.ledger.finish(finishes).await?;
        self.batches.observe(answers.len() as f64);
        self.durations.observe(began.elapsed().as_secs_f64());
        for ([recorded, stale, refused], answer) in names.into_iter().zip(&answers) {
            let outcome = match answer {
                Finished::Recorded => recorded,
                Finished::Stale => stale,
                Finished::Refused(_) => refused,
            };
            self.outcomes.get_or_create(&labels::Finished { outcome }).inc();
        }
        Ok(answers)
    }
}
