//! Jobs whose messages came back too often: they take their workers down.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Envelope, FailureClass, Outcome, PortError, Usage};
use fleetline_shared::ports::{Finish, FinishLedger, Leases, lease_key};
use fleetline_shared::rabbitmq::topology::CRASHED_QUEUE;
use fleetline_shared::rabbitmq::{IntakeDelivery, RabbitBroker};
use fleetline_shared::rules::{Backoff, Standing, decide};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{each_delivery, patiently};

/// Messages handled at the same time.
const PREFETCH: usize = 20;
/// Until the next look whether somebody is at a job's call still.
const LOOK: Duration = Duration::from_secs(1);

/// Records each as a failed attempt, until `drain` is cancelled; the last attempt ends in a crash loop.
/// Several may run.
///
/// Not dead at once: a worker that dies takes down all that it was working on, so jobs that were beside
/// the bad one come here with it. They come back at different times, and then they succeed.
///
/// Nor while a worker holds the lease of that very dispatch: the message may have come back because connections
/// broke, and what is recorded here would throw the result of the call away. Without the leases' service nobody
/// knows, and it waits.
pub async fn record_crash_loops(
    broker: Arc<RabbitBroker>,
    ledger: Arc<dyn FinishLedger>,
    leases: Arc<dyn Leases>,
    backoff: Backoff,
    drain: CancellationToken,
) {
    let record = |delivery| record(&*ledger, &*leases, &backoff, delivery, &drain);
    each_delivery(&broker, CRASHED_QUEUE, PREFETCH, &drain, record).await;
}

async fn record(
    ledger: &dyn FinishLedger,
    leases: &dyn Leases,
    backoff: &Backoff,
    delivery: IntakeDelivery,
    drain: &CancellationToken,
) -> Result<(), PortError> {
    let envelope = match Envelope::decode(&delivery.body) {
        Ok(envelope) => envelope,
        Err(error) => return delivery.reject(&error.to_string(), drain).await,
    };
    match call_ended(leases, &envelope, drain).await {
        Some(Ok(())) => {}
        Some(Err(error)) => return delivery.reject(&error.to_string(), drain).await,
        None => return Ok(()),
    }
    let why = delivery.death_reason.clone().unwrap_or_else(|| "unknown".to_owned());
    let outcome = Outcome::Failed {
        class: FailureClass::Crash,
        error: format!("its message came back again and again, so its workers probably died ({why})"),
    };
    let standing = Standing {
        attempts: envelope.attempts,
        max_attempts: envelope.max_attempts,
        time_left: envelope.deadline(),
    };
    let decision = decide(outcome, standing, backoff, fastrand::f64());
    tracing::warn!(job = %envelope.job_id, why, ?decision, "a job's message came back again and again");
    let finish = Finish { job: envelope.job_id, fence: envelope.fence, decision, usage: Usage::default() };
    match patiently(drain, || ledger.finish(vec![finish.clone()])).await {
        // A stale one is not current any more: the job lives on with a newer dispatch.
        Some(Ok(_)) => delivery.ack().await,
        Some(Err(error)) => delivery.reject(&error.to_string(), drain).await,
        None => Ok(()),
    }
}

/// Resolves when nobody is at the call of this dispatch, as far as leases tell; `None`: the process drains before.
async fn call_ended(
    leases: &dyn Leases,
    envelope: &Envelope,
    drain: &CancellationToken,
) -> Option<Result<(), PortError>> {
    let Envelope { tenant, kind, dedup_key, job_id, fence, .. } = envelope;
    let key = lease_key(tenant, kind, dedup_key);
    loop {
        match patiently(drain, || leases.holder(&key)).await? {
            Ok(Some(held)) if (held.holder.job, held.holder.fence) == (*job_id, *fence) => {}
            answer => return Some(answer.map(drop)),
        }
        drain.run_until_cancelled(sleep(LOOK)).await?;
    }
}
