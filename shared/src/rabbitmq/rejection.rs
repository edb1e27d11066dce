//! Dead letters that this process writes itself, with the reason.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::time::sleep;

use super::error::unavailable;
use super::outgoing::Outgoing;
use super::publisher::Publisher;
use super::settle::Unsettled;
use super::topology::{DEAD_EXCHANGE, QUEUE_HEADER, REASON_HEADER, REJECTED_KEY};
use crate::domain::PortError;

/// Longest reason that is sent along, in bytes.
const REASON_MAX: usize = 4_096;
/// A dead letter that could not be published is published again after this time.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the deliveries of a consumer come from, and how to publish what is rejected.
pub(super) struct Origin {
    pub(super) queue: String,
    pub(super) publisher: Publisher,
}

/// What the dead letter of a delivery needs beside its body and the reason.
pub(super) struct Rejection {
    pub(super) origin: Arc<Origin>,
    pub(super) properties: BasicProperties,
}

impl Rejection {
    /// Publishes the dead letter. `Ok`: the broker has it, the delivery may be acknowledged.
    ///
    /// While the broker takes no messages the delivery is kept until `end` resolves: given back it would come again at
    /// once, and be counted each time.
    pub(super) async fn publish(
        &self,
        body: &[u8],
        reason: &str,
        unsettled: &Unsettled,
        end: impl Future<Output = ()>,
    ) -> Result<(), PortError> {
        let mut end = pin!(end);
        loop {
            match self.try_to_publish(body, reason).await {
                Err(error @ PortError::Unavailable { .. }) if !unsettled.is_gone() => {
                    tracing::warn!(%error, "a dead letter could not be published; trying again");
                    tokio::select! {
                        biased;
                        () = &mut end => return Err(error),
                        () = sleep(PAUSE) => {}
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn try_to_publish(&self, body: &[u8], reason: &str) -> Result<(), PortError> {
        let Self { origin, properties } = self;
        let reason = reason[..reason.floor_char_boundary(REASON_MAX)].to_owned();
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        let id = text(properties.message_id()).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let letter = Outgoing {
            content_type: text(properties.content_type()),
            correlation_id: text(properties.correlation_id()),
            headers: vec![
                (REASON_HEADER.to_owned(), reason),
                (QUEUE_HEADER.to_owned(), origin.queue.clone()),
            ],
            ..Outgoing::new(DEAD_EXCHANGE, REJECTED_KEY, id, body.to_vec())
        };
        let answer = origin.publisher.publish(vec![letter]).await.pop();
        answer.unwrap_or_else(|| Err(unavailable("the dead letter was not published")))
    }
}
