//! The deliveries of a line, as the port wants them.

use std::sync::Arc;

use async_trait::async_trait;

use super::consumer::Consumer;
use super::rejection::{Origin, Rejection};
use super::settle::Unsettled;
use crate::domain::PortError;
use crate::ports::{Deliveries, Delivery, Settle, Settlement};

/// The deliveries of a line.
pub(super) struct LineConsumer {
    pub(super) consumer: Consumer,
    pub(super) origin: Arc<Origin>,
}

#[async_trait]
impl Deliveries for LineConsumer {
    async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
        let next = self.consumer.next().await?;
        Some(next.map(|(delivery, unsettled)| {
            let lapin::message::Delivery { data, redelivered, properties, .. } = delivery;
            let rejection = Rejection { origin: Arc::clone(&self.origin), properties };
            let settle = LineSettle { rejection, unsettled };
            Delivery::new(data, redelivered, Box::new(settle))
        }))
    }
}

struct LineSettle {
    rejection: Rejection,
    unsettled: Unsettled,
}

#[async_trait]
impl Settle for LineSettle {
    async fn settle(self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        if let Settlement::Reject { reason, body } = how {
            self.rejection.publish(body, reason).await?;
        }
        self.unsettled.ack().await
    }
}
