//! Events from the ledger's outbox to those who listen.
//!
//! An event is written in the transaction of what it tells of, so none is lost and none is about
//! something that did not happen. It is published at least once: listeners know a repeated one by
//! its id.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{Event, News, OutboxLedger};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Events in one round at most.
const ROUND: usize = 500;
/// Another relay may take an event that was taken so long ago and is still there.
const CLAIM: Duration = Duration::from_secs(30);

/// Where events go.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Publishes; the answers are in the order of the events. `Ok` means that the broker has it.
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PortError>>;
}

/// Moves events to the sink. Several may run on one ledger.
pub struct Relay {
    /// Where they are.
    pub outbox: Arc<dyn OutboxLedger>,
    /// Where they go.
    pub sink: Arc<dyn EventSink>,
    /// Changes when there may be new ones.
    pub changes: watch::Receiver<News>,
    /// The longest time between two looks.
    pub poll: Duration,
}

impl Relay {
    /// Relays until `drain` is cancelled. Errors are logged and tried again.
    pub async fn run(mut self, drain: CancellationToken) {
        while !drain.is_cancelled() {
            self.changes.mark_unchanged();
            match self.round().await {
                Ok(ROUND) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "events could not be relayed; trying again"),
            }
            tokio::select! {
                () = drain.cancelled() => {}
                Ok(()) = self.changes.changed() => {}
                () = sleep(self.poll) => {}
            }
        }
    }

    /// One round; returns how many events it took.
    async fn round(&self) -> Result<usize, PortError> {
        let events = self.outbox.take_events(ROUND, CLAIM).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let answers = self.sink.publish(&events).await;
        let failed = answers.iter().find_map(|answer| answer.as_ref().err()).cloned();
        let published = events
            .iter()
            .zip(answers)
            .filter(|(_, answer)| answer.is_ok())
            .map(|(event, _)| event.id)
            .collect();
        self.outbox.events_published(published).await?;
        failed.map_or(Ok(events.len()), Err)
    }
}
