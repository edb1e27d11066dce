//! Events on the broker's topic exchange.

use async_trait::async_trait;
use fleetline_shared::domain::PortError;
use fleetline_shared::ports::Event;
use fleetline_shared::rabbitmq::topology::EVENTS_EXCHANGE;
use fleetline_shared::rabbitmq::{Outgoing, Publisher};
use serde_json::json;

use crate::relay::EventSink;

/// Publishes events; those that nobody is bound to vanish.
pub struct BrokerEvents(pub Publisher);

#[async_trait]
impl EventSink for BrokerEvents {
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PortError>> {
        self.0.publish(events.iter().map(message).collect()).await
    }
}

fn message(event: &Event) -> Outgoing {
    let body = json!({
        "id": event.id,
        "type": event.topic,
        "tenant": event.tenant,
        "at_ms": event.at_ms,
        "data": event.body,
    });
    Outgoing {
        mandatory: false,
        content_type: Some("application/json".to_owned()),
        ..Outgoing::new(EVENTS_EXCHANGE, &event.topic, event.id.to_string(), body.to_string().into_bytes())
    }
}
