//! Leases keep two workers from paying for the same key at once. They save money; the ledger's
//! fence keeps the record right even when a lease is granted twice.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{DedupKey, JobId, PortError};

/// Who holds a lease: one delivery of one dispatch of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The job.
    pub job: JobId,
    /// Its dispatch.
    pub fence: u64,
    /// Which delivery of the dispatch: 0 for a first one, larger for one that comes after it because
    /// the broker took the message back, and the larger the later it is; the largest for one whose holder
    /// lives and goes on, though the broker took its message back. Two first ones are the same
    /// message published twice. A later one that wants the lease only if it is free asks with 0 as well.
    pub token: u64,
    /// Drawn at random for each delivery: a request that is sent again, because its answer was lost, is known
    /// by it from that of a duplicate.
    pub nonce: u64,
}

/// The key of the lease that a call needs: one for all jobs that ask for the same thing.
pub fn lease_key(tenant: &str, kind: &str, key: &DedupKey) -> String {
    [tenant, "/", kind, "/", &key.to_string()].concat()
}

/// A lease that somebody wants or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// On what: [`lease_key`].
    pub key: String,
    /// Whose.
    pub holder: Holder,
}

/// A lease that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub holder: Holder,
    /// Time until it ends, unless renewed.
    pub expires_in: Duration,
}

/// Answer to a request for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is yours until the time to live ends.
    Yes,
    /// Another delivery of this very dispatch has it, and did not lose it: leave the job to that one.
    Duplicate,
    /// Another job, or a newer dispatch of this one, has it.
    Held {
        /// Time until it ends, unless renewed.
        expires_in: Duration,
    },
}

/// Time-limited holds on keys. Many at a time, for that is how workers take and leave them: the answers
/// are in the order of the holds, and one hold's answer says nothing of another's.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes each lease that is free, expired, or held by the same job under an older fence, or under
    /// this one with a smaller token: a redelivery need not wait for the dead worker's lease to end,
    /// and a worker that is not dead after all learns of it at its next renewal. Who has it already gets
    /// it again.
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError>;

    /// Prolongs leases, and takes those again that nobody has: a service that lost its state
    /// must not stop calls that are under way. `false`: another holder has it, stop.
    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError>;

    /// Gives leases up. `false`: it was no longer this holder's, and is left alone.
    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError>;

    /// Who has the lease; `None`: nobody.
    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError>;

    /// For how long one who wants a lease now had better wait for others, to ask with them. Asked once
    /// for each that comes.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// [`Leases::acquire_all`] of one.
    async fn acquire(&self, key: &str, holder: Holder, ttl: Duration) -> Result<Acquired, PortError> {
        self.acquire_all(&[Hold { key: key.to_owned(), holder }], ttl).await.map(only)
    }

    /// [`Leases::renew_all`] of one.
    async fn renew(&self, key: &str, holder: Holder, ttl: Duration) -> Result<bool, PortError> {
        self.renew_all(&[Hold { key: key.to_owned(), holder }], ttl).await.map(only)
    }

    /// [`Leases::release_all`] of one.
    async fn release(&self, key: &str, holder: Holder) -> Result<bool, PortError> {
        self.release_all(&[Hold { key: key.to_owned(), holder }]).await.map(only)
    }
}

fn only<T>(mut answers: Vec<T>) -> T {
    answers.pop().expect("one answer for one hold")
}
