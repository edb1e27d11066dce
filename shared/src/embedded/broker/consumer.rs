//! One consumer of a line, and the deliveries it hands out.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::line::{Line, Queued};
use crate::domain::PortError;
use crate::ports::{Deliveries, Delivery, Settle, Settlement};

/// Takes from a line while fewer than `prefetch` of its deliveries are unsettled. It buffers
/// nothing, so a consumer that goes away has nothing to give back.
pub(super) struct Consumer {
    line: Arc<Line>,
    slots: Arc<Semaphore>,
}

impl Consumer {
    pub(super) fn new(line: Arc<Line>, prefetch: usize) -> Self {
        line.join();
        Self { line, slots: Arc::new(Semaphore::new(prefetch.min(Semaphore::MAX_PERMITS))) }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.line.leave();
    }
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.expect("a consumer's semaphore is never closed");
        let queued = self.line.take().await;
        let (body, returns) = (queued.body.clone(), queued.returns);
        let unsettled = Unsettled { line: Arc::clone(&self.line), queued: Some(queued), _slot: slot };
        Some(Ok(Delivery::new(body, returns > 0, Box::new(unsettled)).with_returns(returns)))
    }
}

/// A delivery's way back. Dropped with its message, the message goes back to its line.
struct Unsettled {
    line: Arc<Line>,
    queued: Option<Queued>,
    _slot: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Unsettled {
    async fn settle(mut self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        let queued = self.queued.take().expect("a delivery is settled once, by value");
        match how {
            Settlement::Ack => self.line.done(),
            Settlement::Reject { reason, .. } => self.line.bury(queued, reason),
        }
        Ok(())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(queued) = self.queued.take() {
            self.line.give_back(queued);
        }
    }
}
