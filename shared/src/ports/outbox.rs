//! The outbox: events that are written in the transaction of what they tell of, and published
//! after it, at least once.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::PortError;

/// Something that happened, for other services.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number: the same if it is published twice.
    pub id: Uuid,
    /// What happened: `run.finished`, `job.dead`. The routing key on the topic exchange.
    pub topic: String,
    /// Whose it is.
    pub tenant: String,
    /// When, in milliseconds since 1970, by the ledger's clock.
    pub at_ms: i64,
    /// The details.
    pub body: Value,
}

/// A ledger that keeps events until they are published.
#[async_trait]
pub trait OutboxLedger: Send + Sync {
    /// Takes up to `limit` events, oldest first. Others get them after `claim`, unless they are
    /// reported as published by then.
    async fn take_events(&self, limit: usize, claim: Duration) -> Result<Vec<Event>, PortError>;

    /// Forgets events that the broker has confirmed.
    async fn events_published(&self, ids: Vec<Uuid>) -> Result<(), PortError>;
}
