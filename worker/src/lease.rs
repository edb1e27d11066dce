//! A lease that is renewed while its job runs.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fleetline_shared::domain::{Envelope, PortError};
use fleetline_shared::ports::{Acquired, Holder, Leases, lease_key};
use tokio::time::{Instant, sleep};

/// A lease this process holds.
pub(crate) struct HeldLease {
    leases: Arc<dyn Leases>,
    key: String,
    holder: Holder,
    ttl: Duration,
    taken: Instant,
}

/// Answer to a request for a lease.
pub(crate) enum Taken {
    /// Held until [`HeldLease::lost`] says otherwise.
    Yes(HeldLease),
    /// Another delivery of the same dispatch is worked on.
    Duplicate,
    /// Another worker has it.
    Held {
        /// Time until it may be free.
        expires_in: Duration,
    },
}

/// How a lease was lost.
pub(crate) enum Loss {
    /// Another delivery holds it: the job is its business now.
    ToAnother,
    /// Nobody knows who holds it. The job may be nobody's business: it must go back.
    OutOfReach(PortError),
}

impl HeldLease {
    /// Takes the lease on the job's dedup key.
    pub(crate) async fn take(
        leases: &Arc<dyn Leases>,
        envelope: &Envelope,
        redelivered: bool,
        ttl: Duration,
    ) -> Result<Taken, PortError> {
        let key = lease_key(&envelope.tenant, &envelope.kind, &envelope.dedup_key);
        let holder = Holder { job: envelope.job_id, fence: envelope.fence, token: token(redelivered) };
        let taken = Instant::now();
        Ok(match leases.acquire(&key, holder, ttl).await? {
            Acquired::Yes => Taken::Yes(Self { leases: Arc::clone(leases), key, holder, ttl, taken }),
            Acquired::Duplicate => Taken::Duplicate,
            Acquired::Held { expires_in } => Taken::Held { expires_in },
        })
    }

    /// Renews at a third of the lease's life; resolves when it is lost. Leases that cannot be
    /// reached are no loss before the time to live has passed.
    pub(crate) async fn lost(&self) -> Loss {
        let mut valid_until = self.taken + self.ttl;
        loop {
            sleep(self.ttl / 3).await;
            let asked = Instant::now();
            match self.leases.renew(&self.key, self.holder, self.ttl).await {
                Ok(true) => valid_until = asked + self.ttl,
                Ok(false) => return Loss::ToAnother,
                Err(error) => {
                    tracing::warn!(%error, "a lease could not be renewed");
                    if Instant::now() >= valid_until {
                        return Loss::OutOfReach(error);
                    }
                }
            }
        }
    }

    /// Renews it while something goes on that its loss does not stop.
    pub(crate) async fn renewed_during<Work: Future>(&self, work: Work) -> Work::Output {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            _ = self.lost() => work.await,
        }
    }

    /// Gives it up. If that fails it ends by itself.
    pub(crate) async fn release(self) {
        if let Err(error) = self.leases.release(&self.key, self.holder).await {
            tracing::debug!(%error, "a lease could not be released; it ends by itself");
        }
    }
}

/// The broker took the message back from whoever had it: this delivery comes after that one, and the
/// clock tells which of several comes last.
fn token(redelivered: bool) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if redelivered { u64::try_from(since.as_micros()).unwrap_or(u64::MAX) } else { 0 }
}

#[cfg(test)]
mod tests {
    use fleetline_shared::domain::JobId;
    use fleetline_shared::embedded::MemoryLeases;

    use super::*;

    const TTL: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_is_held_as_long_as_an_outcome_waits_to_be_recorded() {
        let leases: Arc<dyn Leases> = Arc::new(MemoryLeases::default());
        let holder = Holder { job: JobId::new(), fence: 1, token: 0 };
        let other = Holder { job: JobId::new(), fence: 1, token: 0 };
        assert_eq!(leases.acquire("key", holder, TTL).await.unwrap(), Acquired::Yes);
        let lease = HeldLease {
            leases: Arc::clone(&leases),
            key: "key".into(),
            holder,
            ttl: TTL,
            taken: Instant::now(),
        };
        let another = lease.renewed_during(async {
            sleep(10 * TTL).await;
            leases.acquire("key", other, TTL).await
        });
        assert!(matches!(another.await.unwrap(), Acquired::Held { .. }));
        lease.release().await;
        assert_eq!(leases.acquire("key", other, TTL).await.unwrap(), Acquired::Yes);
    }
}
