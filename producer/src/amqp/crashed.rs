//! Jobs whose messages came back too often: they take their workers down.

use std::sync::Arc;

use fleetline_shared::domain::{DeadReason, Decision, Envelope, PortError, Usage};
use fleetline_shared::ports::{Finish, FinishLedger};
use fleetline_shared::rabbitmq::topology::CRASHED_QUEUE;
use fleetline_shared::rabbitmq::{IntakeDelivery, RabbitBroker};
use tokio_util::sync::CancellationToken;

use super::each_delivery;

/// Messages handled at the same time.
const PREFETCH: usize = 20;

/// Records them as dead, until `drain` is cancelled. Several may run.
pub async fn record_crash_loops(
    broker: Arc<RabbitBroker>,
    ledger: Arc<dyn FinishLedger>,
    drain: CancellationToken,
) {
    each_delivery(&broker, CRASHED_QUEUE, PREFETCH, &drain, |delivery| record(&*ledger, delivery)).await;
}

async fn record(ledger: &dyn FinishLedger, delivery: IntakeDelivery) -> Result<(), PortError> {
    let envelope = match Envelope::decode(&delivery.body) {
        Ok(envelope) => envelope,
        Err(error) => return delivery.reject(error.to_string()).await,
    };
    let why = delivery.death_reason.clone().unwrap_or_else(|| "unknown".to_owned());
    let finish = Finish {
        job: envelope.job_id,
        fence: envelope.fence,
        decision: Decision::Die {
            reason: DeadReason::CrashLoop,
            error: format!("its message came back again and again, so its workers probably died ({why})"),
        },
        usage: Usage::default(),
    };
    // A stale one is not current any more: the job lives on with a newer dispatch.
    ledger.finish(vec![finish]).await?;
    tracing::warn!(job = %envelope.job_id, why, "a job is dead: crash loop");
    delivery.ack().await
}
