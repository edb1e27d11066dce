//! The deliveries of all kinds of a worker, as one stream.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{PortError, Registry};
use fleetline_shared::ports::{Broker, Deliveries, Delivery, Taker};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::time::sleep;

/// Consumers that are gone are started again after this time.
const RECONSUME_PAUSE: Duration = Duration::from_millis(500);
/// The smallest prefetch beyond the concurrency.
const LEAST_EXTRA: usize = 8;

type Stream = BoxStream<'static, Result<Delivery, PortError>>;

/// The deliveries of some kinds, whatever happens to their consumers.
pub(crate) struct Inbox {
    broker: Arc<dyn Broker>,
    registry: Registry,
    concurrency: usize,
    taker: Taker,
    open: Option<Open>,
}

struct Open {
    /// Ends as soon as one consumer does.
    deliveries: SelectAll<Stream>,
    /// Deliveries of each kind beyond the concurrency that the broker may push.
    extra: usize,
}

impl Inbox {
    pub(crate) fn new(broker: &Arc<dyn Broker>, registry: &Registry, concurrency: usize) -> Self {
        Self {
            broker: Arc::clone(broker),
            registry: registry.clone(),
            concurrency,
            taker: Taker::default(),
            open: None,
        }
    }

    /// The next delivery. `ahead`: how many beyond the concurrency the worker has in hand.
    pub(crate) async fn next(&mut self, ahead: usize) -> Delivery {
        loop {
            match self.try_next(ahead).await {
                Ok(delivery) => return delivery,
                Err(error) => tracing::warn!(%error, "no consumers; starting them again"),
            }
            self.open = None;
            sleep(RECONSUME_PAUSE).await;
        }
    }

    async fn try_next(&mut self, ahead: usize) -> Result<Delivery, PortError> {
        let open = if let Some(open) = self.open.take() {
            open
        } else {
            let streams = consume(&*self.broker, &self.taker, &self.registry, self.concurrency).await?;
            Open { deliveries: stream::select_all(streams), extra: 0 }
        };
        let open = self.open.insert(open);
        if ahead > open.extra {
            // Never taken back, for what a consumer that goes has buffered RabbitMQ counts as failed, up to 4.2. So
            // what is asked for has an end.
            let more = open.extra.max(LEAST_EXTRA);
            open.extra += more;
            let further = consume(&*self.broker, &self.taker, &self.registry, more).await?;
            open.deliveries.extend(further);
        }
        open.deliveries.next().await.unwrap_or_else(|| Err(gone()))
    }
}

/// A consumer for each kind.
async fn consume(
    broker: &dyn Broker,
    taker: &Taker,
    registry: &Registry,
    prefetch: usize,
) -> Result<Vec<Stream>, PortError> {
    let mut streams = Vec::new();
    for kind in registry.names() {
        streams.push(stream_of(broker.consume_as(taker, kind, prefetch).await?));
    }
    Ok(streams)
}

fn stream_of(deliveries: Box<dyn Deliveries>) -> Stream {
    let stream = stream::unfold(deliveries, |mut deliveries| async {
        let delivery = deliveries.next().await?;
        Some((delivery, deliveries))
    });
    stream.chain(stream::once(async { Err(gone()) })).boxed()
}

fn gone() -> PortError {
    PortError::Unavailable { port: "broker", message: "a consumer has ended".into() }
}
