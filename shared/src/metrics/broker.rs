//! What passes between a process and the lines: deliveries, and messages that are published.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use super::labels::OfKind;
use super::{Metrics, times};
use crate::domain::PortError;
use crate::ports::{Broker, Deliveries, Delivery, Depth, Message, Settle, Settlement, Taker, Unpublished};

/// A broker whose messages are counted.
pub struct MeteredBroker {
    broker: Arc<dyn Broker>,
    lines: Lines,
}

struct Lines {
    deliveries: Family<OfKind, Counter>,
    redelivered: Family<OfKind, Counter>,
    in_hand: Family<OfKind, Gauge>,
    attempts: Family<OfKind, Histogram>,
    published: Family<OfKind, Counter>,
    not_published: Family<OfKind, Counter>,
    ready: Family<OfKind, Gauge>,
}

impl MeteredBroker {
    /// A broker that adds to these metrics.
    pub fn new(broker: Arc<dyn Broker>, metrics: &mut Metrics) -> Self {
        let lines = Lines {
            deliveries: Family::default(),
            redelivered: Family::default(),
            in_hand: Family::default(),
            attempts: Family::new_with_constructor(times),
            published: Family::default(),
            not_published: Family::default(),
            ready: Family::default(),
        };
        metrics.add("deliveries", "Deliveries taken from a line", lines.deliveries.clone());
        metrics.add("redeliveries", "Of those, the ones that came before", lines.redelivered.clone());
        metrics.add("deliveries_in_hand", "Deliveries that are not settled", lines.in_hand.clone());
        metrics.add("attempt_duration_seconds", "From a delivery to its settlement", lines.attempts.clone());
        metrics.add("published", "Messages that a line has", lines.published.clone());
        metrics.add("publish_failures", "Messages that a line may not have", lines.not_published.clone());
        metrics.add("line_ready", "Messages on a line, as this process last saw it", lines.ready.clone());
        Self { broker, lines }
    }
}

#[async_trait]
impl Broker for MeteredBroker {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        let kinds: Vec<_> = messages.iter().map(|message| OfKind::new(&message.line)).collect();
        let answers = self.broker.publish(messages).await;
        for (kind, answer) in kinds.iter().zip(&answers) {
            let counters = if answer.is_ok() { &self.lines.published } else { &self.lines.not_published };
            counters.get_or_create(kind).inc();
        }
        answers
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.consume_as(&Taker::default(), line, prefetch).await
    }

    async fn consume_as(
        &self,
        taker: &Taker,
        line: &str,
        prefetch: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        let deliveries = self.broker.consume_as(taker, line, prefetch).await?;
        Ok(Box::new(MeteredDeliveries { deliveries, line: Arc::new(self.lines.of(line)) }))
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        let depth = self.broker.depth(line).await?;
        let ready = i64::try_from(depth.ready).unwrap_or(i64::MAX);
        self.lines.ready.get_or_create(&OfKind::new(line)).set(ready);
        Ok(depth)
    }

    fn contacts(&self) -> u64 {
        self.broker.contacts()
    }

    async fn consumers(&self, line: &str) -> Result<usize, PortError> {
        self.broker.consumers(line).await
    }

    async fn line_moved(&self) {
        self.broker.line_moved().await;
    }

    async fn took_back(&self) {
        self.broker.took_back().await;
    }
}

/// What is counted of one line: looked up once, for its labels are the same for all its deliveries.
struct OfLine {
    deliveries: Counter,
    redelivered: Counter,
    in_hand: Gauge,
    attempts: Histogram,
}

impl Lines {
    fn of(&self, line: &str) -> OfLine {
        let kind = OfKind::new(line);
        OfLine {
            deliveries: self.deliveries.get_or_create_owned(&kind),
            redelivered: self.redelivered.get_or_create_owned(&kind),
            in_hand: self.in_hand.get_or_create_owned(&kind),
            attempts: self.attempts.get_or_create_owned(&kind),
        }
    }
}

struct MeteredDeliveries {
    deliveries: Box<dyn Deliveries>,
    line: Arc<OfLine>,
}

#[async_trait]
impl Deliveries for MeteredDeliveries {
    async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
        let mut delivery = match self.deliveries.next().await? {
            Ok(delivery) => delivery,
            Err(error) => return Some(Err(error)),
        };
        self.line.deliveries.inc();
        if delivery.redelivered {
            self.line.redelivered.inc();
        }
        let (body, redelivered) = (std::mem::take(&mut delivery.body), delivery.redelivered);
        let returns = delivery.returns;
        let settle = InHand::new(delivery, &self.line);
        Some(Ok(Delivery::new(body, redelivered, Box::new(settle)).with_returns(returns)))
    }
}

/// A delivery that somebody has. Dropped, it goes back as it would without this.
struct InHand {
    delivery: Option<Delivery>,
    line: Arc<OfLine>,
    since: Instant,
}

impl InHand {
    fn new(delivery: Delivery, line: &Arc<OfLine>) -> Self {
        line.in_hand.inc();
        Self { delivery: Some(delivery), line: Arc::clone(line), since: Instant::now() }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.line.in_hand.dec();
    }
}

#[async_trait]
impl Settle for InHand {
    async fn settle(mut self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        self.line.attempts.observe(self.since.elapsed().as_secs_f64());
        let mut delivery = self.delivery.take().expect("a delivery is settled once, by value");
        match how {
            Settlement::Ack => delivery.ack().await,
            Settlement::Reject { reason, body } => {
                delivery.body = body;
                delivery.reject(reason).await
            }
        }
    }
}
