//! The deliveries of all kinds of a worker, as one stream.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{PortError, Registry};
use fleetline_shared::ports::{Broker, Deliveries, Delivery, Taker};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::time::{Instant, sleep_until};

/// Consumers that are gone are started again at once, which waits for the connection; but so soon after the last start
/// at the earliest, for the broker may refuse them.
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
    /// When consumers were last started.
    started: Instant,
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
            started: Instant::now(),
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
            sleep_until(self.started + RECONSUME_PAUSE).await;
        }
    }

    async fn try_next(&mut self, ahead: usize) -> Result<Delivery, PortError> {
        let open = if let Some(open) = self.open.take() {
            open
        } else {
            self.started = Instant::now();
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use fleetline_shared::ports::{Depth, Message, Unpublished};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::attempt::tests::Echo;

    const MINUTE: Duration = Duration::from_mins(1);

    /// When consumers were started. The first one ends after a minute, the next two are refused.
    struct Breaks {
        from: Instant,
        starts: Mutex<Vec<Duration>>,
    }

    #[async_trait]
    impl Broker for Breaks {
        async fn publish(&self, _: Vec<Message>) -> Vec<Result<(), Unpublished>> {
            Vec::new()
        }

        async fn consume(&self, _: &str, _: usize) -> Result<Box<dyn Deliveries>, PortError> {
            let mut starts = self.starts.lock().unwrap();
            starts.push(self.from.elapsed());
            match starts.len() {
                1 => Ok(Box::new(EndsIn(MINUTE))),
                2 | 3 => Err(gone()),
                _ => Ok(Box::new(EndsIn(100 * MINUTE))),
            }
        }

        async fn depth(&self, _: &str) -> Result<Depth, PortError> {
            Ok(Depth::default())
        }

        async fn consumers(&self, _: &str) -> Result<usize, PortError> {
            Ok(1)
        }

        async fn line_moved(&self) {
            std::future::pending::<()>().await;
        }

        async fn took_back(&self) {
            std::future::pending::<()>().await;
        }
    }

    struct EndsIn(Duration);

    #[async_trait]
    impl Deliveries for EndsIn {
        async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
            sleep(self.0).await;
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn consumers_that_end_are_started_at_once_and_what_is_refused_after_a_pause() {
        let broker = Arc::new(Breaks { from: Instant::now(), starts: Mutex::default() });
        let shared: Arc<dyn Broker> = broker.clone();
        let mut inbox = Inbox::new(&shared, &Registry::default().with(Echo), 1);
        assert!(timeout(2 * MINUTE, inbox.next(0)).await.is_err(), "nothing comes");
        let pause = RECONSUME_PAUSE;
        let starts = broker.starts.lock().unwrap().clone();
        assert_eq!(starts, [Duration::ZERO, MINUTE, MINUTE + pause, MINUTE + 2 * pause]);
    }
}
