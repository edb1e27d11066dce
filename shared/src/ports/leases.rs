//! Leases keep two workers from paying for the same key at once. They save money; the ledger's
//! fence keeps the record right even when a lease is granted twice.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{JobId, PortError};

/// Who holds a lease: one dispatch of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The job.
    pub job: JobId,
    /// Its dispatch.
    pub fence: u64,
}

/// Answer to a request for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is yours until the time to live ends.
    Yes,
    /// Another job, or a newer dispatch of this one, has it.
    Held {
        /// Time until it ends, unless renewed.
        expires_in: Duration,
    },
}

/// Time-limited holds on keys.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease if it is free, expired, already this holder's, or held by an older
    /// dispatch of the same job (a redelivery need not wait for the dead worker's lease to end).
    async fn acquire(&self, key: &str, holder: Holder, ttl: Duration) -> Result<Acquired, PortError>;

    /// Prolongs the lease. `false`: it is no longer this holder's, stop.
    async fn renew(&self, key: &str, holder: Holder, ttl: Duration) -> Result<bool, PortError>;

    /// Gives the lease up. `false`: it was no longer this holder's, and is left alone.
    async fn release(&self, key: &str, holder: Holder) -> Result<bool, PortError>;
}
