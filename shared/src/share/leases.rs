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
use crate::ports::{Acquired, Held, Hold, Leases};

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
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        let mut answers = self.own.acquire_all(wanted, ttl).await?;
        let own: Vec<usize> = (0..wanted.len()).filter(|place| answers[*place] == Acquired::Yes).collect();
        let asked: Vec<Hold> = own.iter().map(|place| wanted[*place].clone()).collect();
        let of_fleet = match self.of_fleet(self.fleet.acquire_all(&asked, ttl)).await {
            Ok(None) => return Ok(answers),
            Ok(Some(of_fleet)) => of_fleet,
            Err(error) => {
                self.own.release_all(&asked).await?;
                return Err(error);
            }
        };
        let mut refused = Vec::new();
        for ((place, answer), hold) in own.into_iter().zip(of_fleet).zip(asked) {
            answers[place] = answer;
            if answer != Acquired::Yes {
                refused.push(hold);
            }
        }
        self.own.release_all(&refused).await?;
        Ok(answers)
    }

    /// A call under way is not broken off because nobody can be asked.
    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        let mut answers = self.own.renew_all(held, ttl).await?;
        let own: Vec<usize> = (0..held.len()).filter(|place| answers[*place]).collect();
        let asked: Vec<Hold> = own.iter().map(|place| held[*place].clone()).collect();
        if let Some(of_fleet) = self.of_fleet(self.fleet.renew_all(&asked, ttl)).await? {
            for (place, answer) in own.into_iter().zip(of_fleet) {
                answers[place] = answer;
            }
        }
        Ok(answers)
    }

    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError> {
        let own = self.own.release_all(held).await?;
        Ok(self.of_fleet(self.fleet.release_all(held)).await?.unwrap_or(own))
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        match self.of_fleet(self.fleet.holder(key)).await? {
            Some(held) => Ok(held),
            None => self.own.holder(key).await,
        }
    }

    fn patience(&self) -> Duration {
        if self.reach.is_there() { self.fleet.patience() } else { Duration::ZERO }
    }
}
