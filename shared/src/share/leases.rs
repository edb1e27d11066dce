//! Leases that do without the fleet's while those are out of reach.
//!
//! Two deliveries of one job may then both call, in two processes: what is risked is a second payment,
//! not a second result, for the ledger's fence keeps the record right. Within this process a lease is
//! given once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Reach;
use crate::domain::PortError;
use crate::embedded::MemoryLeases;
use crate::ports::{Acquired, Held, Holder, Leases};

/// The fleet's leases, and this process's own.
pub struct ShareLeases {
    fleet: Arc<dyn Leases>,
    own: MemoryLeases,
    reach: Reach,
}

impl ShareLeases {
    /// Leases that do without `fleet` while it is out of reach.
    pub fn new(fleet: Arc<dyn Leases>, reach: Reach) -> Self {
        Self { fleet, own: MemoryLeases::new(), reach }
    }

    /// The fleet's answer; `None`: it is out of reach.
    async fn of_fleet<T>(
        &self,
        asked: impl Future<Output = Result<T, PortError>>,
    ) -> Result<Option<T>, PortError> {
        if !self.reach.is_there() {
            return Ok(None);
        }
        match asked.await {
            Err(PortError::Unavailable { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

#[async_trait]
impl Leases for ShareLeases {
    async fn acquire(&self, key: &str, holder: Holder, ttl: Duration) -> Result<Acquired, PortError> {
        let own = self.own.acquire(key, holder, ttl).await?;
        if own != Acquired::Yes {
            return Ok(own);
        }
        let answer = self.of_fleet(self.fleet.acquire(key, holder, ttl)).await;
        if !matches!(answer, Ok(None | Some(Acquired::Yes))) {
            self.own.release(key, holder).await?;
        }
        Ok(answer?.unwrap_or(Acquired::Yes))
    }

    /// A call under way is not broken off because nobody can be asked.
    async fn renew(&self, key: &str, holder: Holder, ttl: Duration) -> Result<bool, PortError> {
        if !self.own.renew(key, holder, ttl).await? {
            return Ok(false);
        }
        Ok(self.of_fleet(self.fleet.renew(key, holder, ttl)).await?.unwrap_or(true))
    }

    async fn release(&self, key: &str, holder: Holder) -> Result<bool, PortError> {
        let own = self.own.release(key, holder).await?;
        Ok(self.of_fleet(self.fleet.release(key, holder)).await?.unwrap_or(own))
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        self.fleet.holder(key).await
    }
}
