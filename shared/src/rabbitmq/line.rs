//! The deliveries of a line, as the port wants them.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::BasicProperties;

use super::consumer::Consumer;
use super::intake::as_count;
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
            let returns = returns(&properties);
            let rejection = Rejection { origin: Arc::clone(&self.origin), properties };
            let settle = LineSettle { rejection, unsettled };
            Delivery::new(data, redelivered, Box::new(settle)).with_returns(returns)
        }))
    }
}

/// What a quorum queue says of the message: up to 4.2 it has one count, from 4.3 on one of the failures and
/// one of all hand-overs, which no return leaves as it is. A first delivery has neither.
fn returns(properties: &BasicProperties) -> u32 {
    let count = |name| as_count(properties.headers().as_ref()?.inner().get(name)?);
    let counts = ["x-delivery-count", "x-acquired-count"].into_iter().filter_map(count);
    counts.max().map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX))
}

struct LineSettle {
    rejection: Rejection,
    unsettled: Unsettled,
}

#[async_trait]
impl Settle for LineSettle {
    async fn settle(self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        if let Settlement::Reject { reason, body } = how {
            // A worker that drains drops this. In a box, or every acknowledgement would have room for it.
            Box::pin(self.rejection.publish(&body, &reason, &self.unsettled, pending())).await?;
        }
        self.unsettled.ack().await
    }
}
