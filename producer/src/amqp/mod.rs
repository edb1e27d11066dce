//! What a producer does with the broker beside dispatching: the intake for other services, events
//! for them, and the jobs whose messages killed their workers.

mod crashed;
mod events;
mod intake;

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::rabbitmq::{IntakeDelivery, RabbitBroker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use crashed::record_crash_loops;
pub use events::BrokerEvents;
pub use intake::AmqpIntake;

/// A consumer that is gone is started again after this time.
const RECONSUME_PAUSE: Duration = Duration::from_millis(500);
/// A server that is away is asked again after this time.
const ASK_PAUSE: Duration = Duration::from_secs(1);

/// Hands every delivery of a queue to `handle`, `prefetch` at the same time, until `drain` is
/// cancelled; then waits for those that are being handled. A consumer that is gone is started again.
async fn each_delivery<F>(
    broker: &Arc<RabbitBroker>,
    queue: &str,
    prefetch: usize,
    drain: &CancellationToken,
    handle: impl Fn(IntakeDelivery) -> F,
) where
    F: Future<Output = Result<(), PortError>>,
{
    while !drain.is_cancelled() {
        if let Err(error) = consume(broker, queue, prefetch, drain, &handle).await {
            tracing::warn!(%error, queue, "no deliveries; trying again");
        }
        tokio::select! {
            () = drain.cancelled() => {}
            () = sleep(RECONSUME_PAUSE) => {}
        }
    }
}

/// Until the consumer is gone or the process drains.
async fn consume<F>(
    broker: &Arc<RabbitBroker>,
    queue: &str,
    prefetch: usize,
    drain: &CancellationToken,
    handle: &impl Fn(IntakeDelivery) -> F,
) -> Result<(), PortError>
where
    F: Future<Output = Result<(), PortError>>,
{
    let mut consumer = broker.intake(queue, prefetch).await?;
    let mut handling = FuturesUnordered::new();
    let ended = loop {
        tokio::select! {
            () = drain.cancelled() => break Ok(()),
            Some(handled) = handling.next() => report(queue, handled),
            delivery = consumer.next() => match delivery {
                Some(Ok(delivery)) => handling.push(handle(delivery)),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            },
        }
    };
    while let Some(handled) = handling.next().await {
        report(queue, handled);
    }
    ended
}

/// What could not be settled is delivered again.
fn report(queue: &str, handled: Result<(), PortError>) {
    if let Err(error) = handled {
        tracing::warn!(%error, queue, "a message could not be settled; it comes again");
    }
}

/// What a server answers, however long it is away; `None`: the process drains before. A message that is
/// given back meanwhile would only come again at once, and count as failed.
async fn patiently<T, F>(drain: &CancellationToken, ask: impl Fn() -> F) -> Option<Result<T, PortError>>
where
    F: Future<Output = Result<T, PortError>>,
{
    loop {
        match ask().await {
            Err(error @ (PortError::Unavailable { .. } | PortError::Broken { .. })) => {
                tracing::warn!(%error, "a message waits until it is answered");
            }
            // What is invalid now is so for ever.
            answer => return Some(answer),
        }
        tokio::select! {
            () = sleep(ASK_PAUSE) => {}
            () = drain.cancelled() => return None,
        }
    }
}
