//! Leases with the fleet's and without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{JobId, PortError};
use crate::embedded::MemoryLeases;
use crate::ports::{Acquired, Held, Hold, Holder, Leases};
use crate::share::{Reach, ShareLeases, Standing};

const TTL: Duration = Duration::from_secs(30);

/// The fleet's leases, which may be out of reach.
#[derive(Default)]
struct Fleet {
    leases: MemoryLeases,
    is_down: AtomicBool,
}

impl Fleet {
    fn there(&self) -> Result<&MemoryLeases, PortError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(PortError::Unavailable { port: "leases", message: "down".into() });
        }
        Ok(&self.leases)
    }
}

#[async_trait]
impl Leases for Fleet {
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        self.there()?.acquire_all(wanted, ttl).await
    }

    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        self.there()?.renew_all(held, ttl).await
    }

    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError> {
        self.there()?.release_all(held).await
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        self.there()?.holder(key).await
    }
}

fn holder() -> Holder {
    Holder { job: JobId::new(), fence: 1, token: 0, nonce: 0 }
}

fn leases() -> (Arc<Fleet>, Reach, ShareLeases) {
    let (fleet, reach) = (Arc::new(Fleet::default()), Reach::new());
    reach.set(Standing::Fleet);
    let leases = ShareLeases::new(fleet.clone(), reach.clone());
    (fleet, reach, leases)
}

#[tokio::test(start_paused = true)]
async fn without_the_fleets_a_lease_is_given_once_in_this_process() {
    let (fleet, reach, leases) = leases();
    let one = holder();
    fleet.is_down.store(true, Ordering::Relaxed);
    // Before anybody has noticed, and after.
    for standing in [Standing::Fleet, Standing::Share] {
        reach.set(standing);
        assert_eq!(leases.acquire("key", one, TTL).await.unwrap(), Acquired::Yes);
        let duplicate = Holder { nonce: 1, ..one };
        assert_eq!(leases.acquire("key", duplicate, TTL).await.unwrap(), Acquired::Duplicate);
        let another = leases.acquire("key", holder(), TTL).await.unwrap();
        assert!(matches!(another, Acquired::Held { .. }), "{another:?}");
        assert!(leases.renew("key", one, TTL).await.unwrap(), "a call under way goes on");
        assert_eq!(leases.holder("key").await.unwrap().map(|held| held.holder), Some(one));
        assert!(leases.release("key", one).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_without_the_fleets_is_the_fleets_when_it_is_back() {
    let (fleet, reach, leases) = leases();
    let one = holder();
    reach.set(Standing::Share);
    assert_eq!(leases.acquire("key", one, TTL).await.unwrap(), Acquired::Yes);
    assert_eq!(fleet.leases.holder("key").await.unwrap(), None);
    reach.set(Standing::Fleet);
    assert!(leases.renew("key", one, TTL).await.unwrap());
    assert_eq!(fleet.leases.holder("key").await.unwrap().map(|held| held.holder), Some(one));
}

#[tokio::test(start_paused = true)]
async fn what_the_fleet_refuses_is_not_held_here() {
    let (fleet, _, leases) = leases();
    let (one, other) = (holder(), holder());
    assert_eq!(fleet.acquire("key", other, TTL).await.unwrap(), Acquired::Yes);
    assert!(matches!(leases.acquire("key", one, TTL).await.unwrap(), Acquired::Held { .. }));
    assert!(fleet.release("key", other).await.unwrap());
    assert_eq!(leases.acquire("key", holder(), TTL).await.unwrap(), Acquired::Yes);
}
