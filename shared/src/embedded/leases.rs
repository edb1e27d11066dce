//! Leases in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::PortError;
use crate::ports::{Acquired, Held, Holder, Leases};

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
    async fn acquire(&self, key: &str, holder: Holder, ttl: Duration) -> Result<Acquired, PortError> {
        let now = Instant::now();
        let mut held = self.held();
        if let Some(lease) = held.live(key, now) {
            let Holder { job, fence, token } = lease.holder;
            if job == holder.job && fence == holder.fence && token >= holder.token {
                return Ok(Acquired::Duplicate);
            }
            if job != holder.job || fence > holder.fence {
                return Ok(Acquired::Held { expires_in: lease.until - now });
            }
        }
        held.set(key, holder, now, ttl);
        Ok(Acquired::Yes)
    }

    async fn renew(&self, key: &str, holder: Holder, ttl: Duration) -> Result<bool, PortError> {
        let now = Instant::now();
        let mut held = self.held();
        if held.live(key, now).is_some_and(|lease| lease.holder != holder) {
            return Ok(false);
        }
        held.set(key, holder, now, ttl);
        Ok(true)
    }

    async fn release(&self, key: &str, holder: Holder) -> Result<bool, PortError> {
        let now = Instant::now();
        let mut held = self.held();
        let is_ours = held.live(key, now).is_some_and(|lease| lease.holder == holder);
        if is_ours {
            held.by_key.remove(key);
        }
        Ok(is_ours)
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        let now = Instant::now();
        let lease = self.held().live(key, now);
        Ok(lease.map(|Lease { holder, until }| Held { holder, expires_in: until - now }))
    }
}
