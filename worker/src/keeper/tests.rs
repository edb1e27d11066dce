//! Leases as the keeper keeps them.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fleetline_shared::embedded::MemoryLeases;
use tokio::time::timeout;

use super::*;
use crate::job::tests::Nobody;
use crate::trouble::log::Log;

const TTL: Duration = Duration::from_secs(1);

/// A server that is away at times, or whose answers do not arrive when leases are taken.
#[derive(Default)]
pub(crate) struct Fickle {
    pub(crate) leases: MemoryLeases,
    pub(crate) is_away: AtomicBool,
    pub(crate) is_unheard: AtomicBool,
}

impl Fickle {
    fn answer(&self) -> Result<&MemoryLeases, PortError> {
        let away = PortError::Unavailable { port: "leases", message: "away".into() };
        if self.is_away.load(Ordering::Relaxed) { Err(away) } else { Ok(&self.leases) }
    }
}

#[async_trait]
impl Leases for Fickle {
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        let answers = self.answer()?.acquire_all(wanted, ttl).await;
        let unheard = PortError::Unavailable { port: "leases", message: "no answer".into() };
        if self.is_unheard.load(Ordering::Relaxed) { Err(unheard) } else { answers }
    }

    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        self.answer()?.renew_all(held, ttl).await
    }

    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError> {
        self.answer()?.release_all(held).await
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        self.answer()?.holder(key).await
    }
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_away_are_told_once_and_once_that_they_are_back() {
    let (log, _logging) = Log::start();
    let leases = Arc::new(Fickle::default());
    let keeper = Keeper::start(leases.clone(), TTL);
    let held = take_one(&keeper, hold()).await;
    for outage in 1..=2 {
        leases.is_away.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            sleep(TTL / 10).await;
            assert!(keeper.take(vec![hold()]).await.is_err());
        }
        assert_eq!(log.count("WARN"), outage, "{}", log.text());
        leases.is_away.store(false, Ordering::Relaxed);
        for _ in 0..100 {
            sleep(TTL / 10).await;
            drop(take_one(&keeper, hold()).await);
        }
        assert_eq!((log.count("WARN"), log.count("INFO")), (outage, outage), "{}", log.text());
    }
    drop(held);
}

fn hold() -> Hold {
    Hold { key: "key".into(), holder: Holder { job: JobId::new(), fence: 1, token: 0, nonce: 0 } }
}

async fn take_one(keeper: &Arc<Keeper>, hold: Hold) -> Taken {
    keeper.take(vec![hold]).await.unwrap().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_is_held_until_it_is_given_up() {
    let keeper = Keeper::start(Arc::new(MemoryLeases::new()), TTL);
    let Taken::Yes(lease) = take_one(&keeper, hold()).await else { panic!("it is free") };
    sleep(10 * TTL).await;
    assert!(matches!(take_one(&keeper, hold()).await, Taken::Held { .. }));
    release(vec![lease]).await;
    assert!(matches!(take_one(&keeper, hold()).await, Taken::Yes(_)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_an_attempt_that_is_recorded() {
    let keeper = Keeper::start(Arc::new(MemoryLeases::new()), TTL);
    let hold = hold();
    let Holder { job, fence, .. } = hold.holder;
    let Taken::Yes(lease) = take_one(&keeper, hold).await else { panic!("it is free") };
    let again = || Delivery::new(Vec::new(), true, Box::new(Nobody));
    assert!(keeper.join(job, fence + 1, again()).is_err());
    assert!(keeper.join(job, fence, again()).is_ok());
    assert_eq!(lease.recorded().len(), 1);
    assert!(keeper.join(job, fence, again()).is_err());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_ends_by_itself() {
    let keeper = Keeper::start(Arc::new(MemoryLeases::new()), TTL);
    drop(take_one(&keeper, hold()).await);
    sleep(TTL).await;
    assert!(matches!(take_one(&keeper, hold()).await, Taken::Yes(_)));
}

#[tokio::test(start_paused = true)]
async fn who_loses_it_to_a_newer_dispatch_is_told() {
    let leases = Arc::new(MemoryLeases::new());
    let keeper = Keeper::start(leases.clone(), TTL);
    let older = hold();
    let Taken::Yes(lease) = take_one(&keeper, older.clone()).await else { panic!("it is free") };
    let newer = Holder { fence: 2, ..older.holder };
    assert_eq!(leases.acquire("key", newer, TTL).await.unwrap(), Acquired::Yes);
    lease.lost().await;
}

/// As a delivery that the broker has handed over again.
fn later(hold: &Hold, fence: u64) -> Hold {
    Hold { holder: Holder { fence, token: 1 << 60, nonce: 1, ..hold.holder }, ..hold.clone() }
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_is_left_alone() {
    let leases = Arc::new(MemoryLeases::new());
    let (keeper, others) = (Keeper::start(leases.clone(), TTL), Keeper::start(leases.clone(), TTL));
    let hold = hold();
    let Taken::Yes(lease) = take_one(&keeper, hold.clone()).await else { panic!("it is free") };
    keeper.go_on().await;
    for _ in 0..10 {
        assert!(matches!(take_one(&others, later(&hold, 1)).await, Taken::Duplicate));
        sleep(TTL).await;
    }
    assert!(!lease.tenure.is_lost(), "it is renewed by its new token");
    release(vec![lease]).await;
    assert_eq!(leases.holder("key").await.unwrap(), None, "and given up by it");

    let Taken::Yes(lease) = take_one(&keeper, hold.clone()).await else { panic!("it is free again") };
    keeper.go_on().await;
    assert!(
        matches!(take_one(&others, later(&hold, 2)).await, Taken::Yes(_)),
        "a newer dispatch waits for nobody"
    );
    lease.lost().await;
}

/// Waits before it answers.
struct Tardy(MemoryLeases, tokio::sync::Semaphore);

#[async_trait]
impl Leases for Tardy {
    async fn acquire_all(&self, wanted: &[Hold], ttl: Duration) -> Result<Vec<Acquired>, PortError> {
        let answers = self.0.acquire_all(wanted, ttl).await;
        self.1.acquire().await.unwrap().forget();
        answers
    }

    async fn renew_all(&self, held: &[Hold], ttl: Duration) -> Result<Vec<bool>, PortError> {
        self.0.renew_all(held, ttl).await
    }

    async fn release_all(&self, held: &[Hold]) -> Result<Vec<bool>, PortError> {
        self.0.release_all(held).await
    }

    async fn holder(&self, key: &str) -> Result<Option<Held>, PortError> {
        self.0.holder(key).await
    }
}

fn tardy() -> (Arc<Tardy>, Arc<Keeper>) {
    let leases = Arc::new(Tardy(MemoryLeases::new(), tokio::sync::Semaphore::new(0)));
    (leases.clone(), Keeper::start(leases, TTL))
}

#[tokio::test(start_paused = true)]
async fn who_is_just_taking_a_lease_goes_on_too() {
    let (leases, keeper) = tardy();
    let taking = take_one(&keeper, hold());
    let breaking = async {
        keeper.go_on().await;
        leases.1.add_permits(2);
    };
    let (Taken::Yes(_lease), ()) = tokio::join!(taking, breaking) else { panic!("it is free") };
    assert_eq!(leases.holder("key").await.unwrap().unwrap().holder.token, STAYS);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_up_meanwhile_is_not_kept() {
    let (leases, keeper) = tardy();
    leases.1.add_permits(1);
    let Taken::Yes(lease) = take_one(&keeper, hold()).await else { panic!("it is free") };
    let giving_up = async {
        release(vec![lease]).await;
        leases.1.add_permits(1);
    };
    tokio::join!(keeper.go_on(), giving_up);
    assert_eq!(leases.holder("key").await.unwrap(), None);
}

/// Whether the service got what it was told and the answer was lost, or it was away.
#[tokio::test(start_paused = true)]
async fn who_was_not_heard_says_it_again_and_loses_nothing() {
    for unheard in [false, true] {
        let leases = Arc::new(Fickle::default());
        let keeper = Keeper::start(leases.clone(), 100 * TTL);
        let hold = hold();
        let Taken::Yes(lease) = take_one(&keeper, hold.clone()).await else { panic!("it is free") };
        let trouble = if unheard { &leases.is_unheard } else { &leases.is_away };
        trouble.store(true, Ordering::Relaxed);
        keeper.go_on().await;
        sleep(10 * GRACE).await;
        trouble.store(false, Ordering::Relaxed);
        sleep(GRACE / 2).await;
        assert_eq!(leases.holder("key").await.unwrap().unwrap().holder.token, STAYS);
        for _ in 0..10 {
            assert!(matches!(take_one(&keeper, later(&hold, 1)).await, Taken::Duplicate));
            sleep(100 * TTL).await;
        }
        assert!(!lease.tenure.is_lost(), "unheard: {unheard}");
    }
}

/// Its holder may die, and others need not wait for a whole life of the lease.
#[tokio::test(start_paused = true)]
async fn who_goes_on_says_so_again_and_again() {
    let leases = Arc::new(Fickle::default());
    let keeper = Keeper::start(leases.clone(), 100 * TTL);
    let look = 100 * TTL / LOOKS;
    let Taken::Yes(lease) = take_one(&keeper, hold()).await else { panic!("it is free") };
    keeper.go_on().await;
    let held = async || leases.leases.holder("key").await.unwrap();
    for _ in 0..10 {
        assert!(held().await.unwrap().expires_in <= 100 * TTL / STAYING);
        sleep(look).await;
    }
    leases.is_away.store(true, Ordering::Relaxed);
    sleep(2 * look).await;
    assert_eq!(held().await.unwrap().holder.token, STAYS, "a short absence ends it not");
    sleep(2 * look).await;
    assert_eq!(held().await, None, "a longer one does");
    leases.is_away.store(false, Ordering::Relaxed);
    sleep(GRACE / 2).await;
    assert_eq!(held().await.unwrap().holder.token, STAYS, "who waits for it had no time to take it");
    drop(lease);
    sleep(100 * TTL / STAYING).await;
    assert_eq!(held().await, None);
}

/// While this process stood still, or was cut off from all servers: it does not know it yet.
#[tokio::test(start_paused = true)]
async fn what_another_has_taken_over_is_not_taken_back() {
    for was_away in [false, true] {
        let leases = Arc::new(Fickle::default());
        let keeper = Keeper::start(leases.clone(), 100 * TTL);
        let hold = hold();
        let Taken::Yes(lease) = take_one(&keeper, hold.clone()).await else { panic!("it is free") };
        leases.is_away.store(was_away, Ordering::Relaxed);
        if was_away {
            keeper.go_on().await;
        }
        sleep(GRACE).await;
        assert!(!lease.is_anothers().await, "as far as is known");
        let Hold { key, holder } = later(&hold, 1);
        assert_eq!(leases.leases.acquire(&key, holder, 100 * TTL).await.unwrap(), Acquired::Yes);
        leases.is_away.store(false, Ordering::Relaxed);
        assert!(lease.is_anothers().await);
        keeper.go_on().await;
        timeout(GRACE, lease.lost()).await.expect("it is lost");
        assert_eq!(leases.holder(&key).await.unwrap().unwrap().holder, holder);
    }
}
