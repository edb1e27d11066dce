//! Leases in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::PortError;
use crate::ports::{Acquired, Held, Hold, Holder, Leases};

/// Entries are looked through for expired ones each time their number has doubled.
const FIRST_CLEANUP: usize = 1_024;

/// Leases of this process.
#[derive(Default)]
pub struct MemoryLeases(Mutex<ByKey>);

#[derive(Default)]
struct ByKey {
    by_key: HashMap<String, Lease>,
    clean_at: usize,
}

#[derive(Clone, Copy)]
struct Lease {
    holder: Holder,
    until: Instant,
}

impl MemoryLeases {
    /// Nobody holds anything.
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, ByKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByKey {
    /// The live lease on a key.
    fn live(&self, key: &str, now: Instant) -> Option<Lease> {
        self.by_key.get(key).copied().filter(|lease| lease.until > now)
    }

    fn acquire(&mut self, Hold { key, holder }: &Hold, now: Instant, ttl: Duration) -> Acquired {
        if let Some(lease) = self.live(key, now).filter(|lease| lease.holder != *holder) {
            let Holder { job, fence, token, .. } = lease.holder;
            if job == holder.job && fence == holder.fence && token >= holder.token {
                return Acquired::Duplicate;
            }
            if job != holder.job || fence > holder.fence {
                return Acquired::Held { expires_in: lease.until - now };
            }
        }
        self.set(key, *holder, now, ttl);
        Acquired::Yes
    }

    fn renew(&mut self, Hold { key, holder }: &Hold, now: Instant, ttl: Duration) -> bool {
        let is_lost = self.live(key, now).is_some_and(|lease| lease.holder != *holder);
        if !is_lost {
            self.set(key, *holder, now, ttl);
        }
        !is_lost
    }

    fn release(&mut self, Hold { key, holder }: &Hold, now: Instant) -> bool {
        let is_ours = self.live(key, now).is_some_and(|lease| lease.holder == *holder);
        if is_ours {
            self.by_key.remove(key);
        }
        is_ours
    }

    fn set(&mut self, key: &str, holder: Holder, now: Instant, ttl: Duration) {
        self.by_key.insert(key.to_owned(), Lease { holder, until: now + ttl });
        if self.by_key.len() > self.clean_at.max(FIRST_CLEANUP) {
            self.by_key.retain(|_, lease| lease.until > now);
            self.clean_at = self.by_key.len() * 2;
        }
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        let (now, mut held) = (Instant::now(), self.held());
        Ok(wanted.iter().map(|hold| held.acquire(hold, now, ttl)).collect())
    }

    async fn renew_all(&self, renewed: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        let (now, mut held) = (Instant::now(), self.held());
        Ok(renewed.iter().map(|hold| held.renew(hold, now, ttl)).collect())
    }

    async fn release_all(&self, released: &[Hold]) -> Result<Vec<bool>, PortError> {
        let (now, mut held) = (Instant::now(), self.held());
        Ok(released.iter().map(|hold| held.release(hold, now)).collect())
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        let now = Instant::now();
        let lease = self.held().live(key, now);
        Ok(lease.map(|Lease { holder, until }| Held { holder, expires_in: until - now }))
    }
}
