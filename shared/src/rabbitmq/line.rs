//! The deliveries of a line, as the port wants them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::BasicProperties;
use tokio::time::sleep;

use super::consumer::Consumer;
use super::intake::as_count;
use super::rejection::{Origin, Rejection};
use super::settle::Unsettled;
use crate::domain::PortError;
use crate::ports::{Deliveries, Delivery, Settle, Settlement};

/// A dead letter that could not be published is published again after this time.
const REJECT_PAUSE: Duration = Duration::from_secs(1);

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

impl LineSettle {
    /// While the broker takes no messages the delivery is kept: given back it would come again at once, and be
    /// counted each time.
    async fn reject(&self, body: Vec<u8>, reason: String) -> Result<(), PortError> {
        loop {
            match self.rejection.publish(body.clone(), reason.clone()).await {
                Err(error @ PortError::Unavailable { .. }) if !self.unsettled.is_gone() => {
                    tracing::warn!(%error, "a dead letter could not be published; trying again");
                    sleep(REJECT_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

#[async_trait]
impl Settle for LineSettle {
    async fn settle(self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        if let Settlement::Reject { reason, body } = how {
            self.reject(body, reason).await?;
        }
        self.unsettled.ack().await
    }
}
