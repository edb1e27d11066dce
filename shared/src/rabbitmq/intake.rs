//! Messages from a named queue with all that is on their envelope.

use std::sync::Arc;
use std::time::Duration;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::link::Link;
use super::rejection::{Origin, Rejection};
use super::settle::Unsettled;
use crate::domain::PortError;

/// So long deliveries come one by one after one that could not be read.
const CAREFUL: Duration = Duration::from_secs(10);

/// A consumer of one queue, for what is no line: the intake, the dead letters of crash loops.
///
/// A message of which the client library cannot read the properties ends the connection: it comes again with all
/// that was handed over beside it, until it reaches the delivery limit. So that it does not take the others with
/// it, each such queue has a connection of its own, and after such an end its deliveries come one by one for a while.
pub struct IntakeConsumer {
    consumer: Consumer,
    origin: Arc<Origin>,
    link: Arc<Link>,
    careful_until: Option<Instant>,
}

impl IntakeConsumer {
    /// `is_careful`: it was started for one delivery at a time.
    pub(super) fn new(consumer: Consumer, origin: Arc<Origin>, link: Arc<Link>, is_careful: bool) -> Self {
        let careful_until = is_careful.then(|| Instant::now() + CAREFUL);
        Self { consumer, origin, link, careful_until }
    }

    /// The next delivery. `None` or an error: this consumer is gone, start another. The future may
    /// be dropped and nothing is lost.
    pub async fn next(&mut self) -> Option<Result<IntakeDelivery, PortError>> {
        let next = match self.careful_until {
            None => self.consumer.next().await,
            Some(until) => timeout_at(until, self.consumer.next()).await.unwrap_or_else(|_| {
                self.link.reads_on();
                None
            }),
        };
        Some(
            next?.map(|(delivery, unsettled)| {
                IntakeDelivery::new(delivery, unsettled, Arc::clone(&self.origin))
            }),
        )
    }
}

/// One hand-over. Settled once, by value; dropped unsettled, it goes back to its queue, which counts
/// towards the queue's delivery limit.
pub struct IntakeDelivery {
    /// The payload.
    pub body: Vec<u8>,
    /// Whether the broker handed it over before.
    pub redelivered: bool,
    /// The queue to answer to, through the default exchange.
    pub reply_to: Option<String>,
    /// To be sent back with the answer.
    pub correlation_id: Option<String>,
    /// The sender's id of the message.
    pub message_id: Option<String>,
    /// `application/json` and so on.
    pub content_type: Option<String>,
    /// Why it was dead-lettered, if it was: `delivery_limit`, `rejected`, `expired`, `maxlen`.
    pub death_reason: Option<String>,
    /// How often it was dead-lettered for that reason from the same queue.
    pub death_count: Option<u64>,
    /// The queue it was dead-lettered from.
    pub death_queue: Option<String>,
    headers: FieldTable,
    rejection: Rejection,
    unsettled: Unsettled,
}

impl IntakeDelivery {
    fn new(delivery: Delivery, unsettled: Unsettled, origin: Arc<Origin>) -> Self {
        let Delivery { redelivered, properties, data, .. } = delivery;
        let headers = properties.headers().clone().unwrap_or_default();
        let text = |name: &str| headers.inner().get(name).and_then(as_text);
        let latest = latest_death(&headers);
        let of_latest = |name: &str| latest.as_ref().and_then(|death| death.inner().get(name));
        Self {
            body: data,
            redelivered,
            reply_to: properties.reply_to().as_ref().map(ToString::to_string),
            correlation_id: properties.correlation_id().as_ref().map(ToString::to_string),
            message_id: properties.message_id().as_ref().map(ToString::to_string),
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            death_reason: of_latest("reason").and_then(as_text).or_else(|| text("x-first-death-reason")),
            death_count: of_latest("count").and_then(as_count),
            death_queue: of_latest("queue").and_then(as_text),
            headers,
            rejection: Rejection { origin, properties },
            unsettled,
        }
    }

    /// The text of a header, if it has one.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.inner().get(name).and_then(as_text)
    }

    /// Done with it. `Ok`: the acknowledgement is on its way; an error: it may be delivered again.
    pub async fn ack(self) -> Result<(), PortError> {
        self.unsettled.ack().await
    }

    /// Nobody can work with it: to `fleetline.dead`, with the reason. It leaves its queue only when
    /// the dead letter is confirmed. While the broker takes no messages it is kept, and goes back to its queue when
    /// `drain` is cancelled.
    pub async fn reject(self, reason: &str, drain: &CancellationToken) -> Result<(), PortError> {
        self.rejection.publish(&self.body, reason, &self.unsettled, drain.cancelled()).await?;
        self.unsettled.ack().await
    }
}

/// The first entry of `x-death` is the latest one.
fn latest_death(headers: &FieldTable) -> Option<FieldTable> {
    let deaths = headers.inner().get("x-death")?.as_array()?;
    deaths.as_slice().first()?.as_field_table().cloned()
}

fn as_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

pub(super) fn as_count(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::LongLongInt(count) => u64::try_from(*count).ok(),
        AMQPValue::LongInt(count) => u64::try_from(*count).ok(),
        AMQPValue::LongUInt(count) => Some(u64::from(*count)),
        _ => None,
    }
}
