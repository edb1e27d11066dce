//! A message on its way to the broker, and what became of it.

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::error::{broken, invalid, unavailable};
use crate::domain::PortError;

/// A message to publish. It is persistent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The exchange; empty: the default exchange, whose routing key is the name of a queue.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// Its id. With exchange and routing key it must be unique among what is published at the same
    /// time: returned messages are told apart by these three.
    pub message_id: String,
    /// Whether a message that no queue takes is an error. If not, it vanishes.
    pub mandatory: bool,
    /// `application/json` and so on.
    pub content_type: Option<String>,
    /// For replies: the request's own.
    pub correlation_id: Option<String>,
    /// Headers with text values.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// A mandatory message without headers.
    pub fn new(exchange: &str, routing_key: &str, message_id: String, body: Vec<u8>) -> Self {
        Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            message_id,
            mandatory: true,
            content_type: None,
            correlation_id: None,
            headers: Vec::new(),
            body,
        }
    }

    /// AMQP's short strings hold 255 bytes; the client library panics on longer ones.
    pub(super) fn check(&self) -> Result<(), PortError> {
        let names = [&self.exchange, &self.routing_key, &self.message_id].into_iter();
        let names = names.chain(&self.content_type).chain(&self.correlation_id);
        for name in names.chain(self.headers.iter().map(|(name, _)| name)) {
            short(name)?;
        }
        Ok(())
    }

    pub(super) fn properties(&self) -> BasicProperties {
        const PERSISTENT: u8 = 2;
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(self.message_id.as_str().into());
        if let Some(content_type) = &self.content_type {
            properties = properties.with_content_type(content_type.as_str().into());
        }
        if let Some(correlation_id) = &self.correlation_id {
            properties = properties.with_correlation_id(correlation_id.as_str().into());
        }
        if !self.headers.is_empty() {
            let mut headers = FieldTable::default();
            for (name, value) in &self.headers {
                headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
            }
            properties = properties.with_headers(headers);
        }
        properties
    }
}

/// A name of AMQP: 255 bytes at most.
pub(super) fn short(name: &str) -> Result<ShortString, PortError> {
    ShortString::try_new(name)
        .map_err(|_| invalid(format!("a name has {} bytes; AMQP allows 255: {name:.40}...", name.len())))
}

/// Why a message may not have arrived.
#[derive(Clone, Debug)]
pub(super) enum NotPublished {
    /// No queue takes it: the broker does not have it.
    Unroutable(Arc<Outgoing>),
    /// The broker refused it: a full queue, or one without a majority of its replicas.
    Refused,
    /// It cannot be sent at all.
    Wrong(PortError),
    /// The broker may have it or not.
    Unknown(String),
}

/// What became of a message.
pub(super) type Published = Result<(), NotPublished>;

impl NotPublished {
    /// In the words of the port, for a message to this exchange and routing key.
    pub(super) fn into_error(self, exchange: &str, routing_key: &str) -> PortError {
        let exchange = if exchange.is_empty() { "the default exchange" } else { exchange };
        match self {
            Self::Unroutable(_) => broken(format!(
                "no queue takes `{routing_key}` from {exchange}: the message was returned; \
                 run `fleetline topology apply`"
            )),
            Self::Refused => unavailable(format!(
                "the broker refused `{routing_key}` to {exchange}: the queue is full, or too few of its \
                 replicas are up; it is tried again later"
            )),
            Self::Wrong(error) => error,
            Self::Unknown(why) => unavailable(format!("it is unknown whether the message arrived: {why}")),
        }
    }
}
