//! The leases of a worker's jobs: taken in groups, renewed together while their jobs run, given up in
//! groups.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use fleetline_shared::domain::{JobId, PortError};
use fleetline_shared::ports::{Acquired, Delivery, Hold, Holder, Leases};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::trouble::Trouble;

/// A lease is renewed after this share of its life, as soon as it is looked at.
const RENEWAL: u32 = 3;
/// How often leases are looked at in a life.
const LOOKS: u32 = 12;
/// Leases that are renewed in one call at most.
const GROUP: usize = 256;

/// Takes leases, and renews those that are held.
pub(crate) struct Keeper {
    leases: Arc<dyn Leases>,
    ttl: Duration,
    held: Mutex<Numbered>,
    trouble: Trouble,
}

#[derive(Default)]
struct Numbered {
    by_number: HashMap<u64, Arc<Tenure>>,
    last: u64,
}

/// What is known of a lease that is held.
struct Tenure {
    hold: Hold,
    /// When the leases' service last knew of it.
    renewed: Mutex<Instant>,
    loss: OnceLock<Loss>,
    lost: Notify,
    /// Later deliveries of the same dispatch: the connection broke over which the first one came. `None`: the
    /// outcome is recorded, none is left to the attempt any more.
    again: Mutex<Option<Vec<Delivery>>>,
}

/// A lease this process holds, and renews until it is dropped.
pub(crate) struct HeldLease {
    keeper: Arc<Keeper>,
    number: u64,
    tenure: Arc<Tenure>,
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
#[derive(Clone, Debug)]
pub(crate) enum Loss {
    /// Another delivery holds it: the job is its business now.
    ToAnother,
    /// Nobody knows who holds it. The job may be nobody's business: it must go back.
    OutOfReach(PortError),
}

impl Keeper {
    /// Leases that live so long without renewal. Must be called in a tokio runtime.
    pub(crate) fn start(leases: Arc<dyn Leases>, ttl: Duration) -> Arc<Self> {
        let keeper = Arc::new(Self { leases, ttl, held: Mutex::default(), trouble: Trouble::with("leases") });
        tokio::spawn(keep(Arc::downgrade(&keeper), ttl / LOOKS));
        keeper
    }

    /// For how long one who wants a lease had better wait for others.
    pub(crate) fn patience(&self) -> Duration {
        self.leases.patience()
    }

    /// Takes those of these leases that are free. The answers are in their order.
    pub(crate) async fn take(self: &Arc<Self>, wanted: Vec<Hold>) -> Result<Vec<Taken>, PortError> {
        let asked = Instant::now();
        let answers = self.leases.acquire_all(&wanted, self.ttl).await;
        self.trouble.hear(&answers);
        let answers = answers?;
        let mut held = self.held();
        let taken = |(hold, answer): (Hold, Acquired)| match answer {
            Acquired::Yes => Taken::Yes(self.keep(&mut held, hold, asked)),
            Acquired::Duplicate => Taken::Duplicate,
            Acquired::Held { expires_in } => Taken::Held { expires_in },
        };
        Ok(wanted.into_iter().zip(answers).map(taken).collect())
    }

    fn keep(self: &Arc<Self>, leases: &mut Numbered, hold: Hold, asked: Instant) -> HeldLease {
        let (renewed, again) = (Mutex::new(asked), Mutex::new(Some(Vec::new())));
        let tenure = Arc::new(Tenure { hold, renewed, loss: OnceLock::new(), lost: Notify::new(), again });
        leases.last += 1;
        leases.by_number.insert(leases.last, Arc::clone(&tenure));
        HeldLease { keeper: Arc::clone(self), number: leases.last, tenure }
    }

    /// Leaves a delivery that the broker hands over again to the attempt of this process that is at its very
    /// dispatch, if there is one: it settles it when its outcome is recorded. A call anew would be paid for
    /// twice.
    pub(crate) fn join(&self, job: JobId, fence: u64, again: Delivery) -> Result<(), Delivery> {
        let held = self.held();
        let is_same = |tenure: &&Arc<Tenure>| {
            let Holder { job: holder, fence: dispatch, .. } = tenure.hold.holder;
            (holder, dispatch) == (job, fence) && tenure.loss.get().is_none()
        };
        let Some(tenure) = held.by_number.values().find(is_same) else { return Err(again) };
        match lock(&tenure.again).as_mut() {
            Some(deliveries) => deliveries.push(again),
            None => return Err(again),
        }
        tracing::debug!(%job, "delivered again while its call is under way");
        Ok(())
    }

    /// Renews what has lived for a third of its life. What is lost is never taken back.
    async fn renew(&self) {
        let now = Instant::now();
        let is_due = |tenure: &&Arc<Tenure>| {
            tenure.loss.get().is_none() && now >= tenure.renewed() + self.ttl / RENEWAL
        };
        let due: Vec<_> = self.held().by_number.values().filter(is_due).cloned().collect();
        join_all(due.chunks(GROUP).map(|group| self.renew_group(group))).await;
    }

    /// Leases that cannot be reached are no loss before the time to live has passed.
    async fn renew_group(&self, group: &[Arc<Tenure>]) {
        let holds: Vec<Hold> = group.iter().map(|tenure| tenure.hold.clone()).collect();
        let asked = Instant::now();
        let answers = self.leases.renew_all(&holds, self.ttl).await;
        self.trouble.hear(&answers);
        match answers {
            Ok(answers) => {
                for (tenure, is_ours) in group.iter().zip(answers) {
                    if is_ours {
                        *lock(&tenure.renewed) = asked;
                    } else {
                        tenure.lose(Loss::ToAnother);
                    }
                }
            }
            Err(error) => {
                let now = Instant::now();
                for tenure in group.iter().filter(|tenure| now >= tenure.renewed() + self.ttl) {
                    tenure.lose(Loss::OutOfReach(error.clone()));
                }
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Numbered> {
        lock(&self.held)
    }
}

/// Locks are held for a few lines that do not panic, so a poisoned one is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Renews as long as anybody has the keeper.
async fn keep(keeper: Weak<Keeper>, pause: Duration) {
    loop {
        sleep(pause).await;
        let Some(keeper) = keeper.upgrade() else { return };
        keeper.renew().await;
    }
}

impl Tenure {
    fn renewed(&self) -> Instant {
        *lock(&self.renewed)
    }

    fn lose(&self, loss: Loss) {
        if self.loss.set(loss).is_ok() {
            self.lost.notify_one();
        }
    }
}

impl HeldLease {
    /// Resolves when it is lost. For one caller.
    pub(crate) async fn lost(&self) -> Loss {
        loop {
            if let Some(loss) = self.tenure.loss.get() {
                return loss.clone();
            }
            self.tenure.lost.notified().await;
        }
    }

    /// The outcome is recorded: the deliveries that were left to the attempt.
    pub(crate) fn recorded(&self) -> Vec<Delivery> {
        lock(&self.tenure.again).take().unwrap_or_default()
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.keeper.held().by_number.remove(&self.number);
    }
}

/// Gives leases up. What cannot be given up ends by itself.
pub(crate) async fn release(mut leases: Vec<HeldLease>) {
    while let Some(first) = leases.first() {
        let keeper = Arc::clone(&first.keeper);
        let (of_keeper, others): (Vec<_>, Vec<_>) =
            take(&mut leases).into_iter().partition(|lease| Arc::ptr_eq(&lease.keeper, &keeper));
        leases = others;
        let holds: Vec<Hold> = of_keeper.iter().map(|lease| lease.tenure.hold.clone()).collect();
        // Nobody must renew them after they are given up.
        drop(of_keeper);
        match keeper.leases.release_all(&holds).await {
            // It does not pass by itself: a right that is missing, or a server that is no Redis.
            Err(error @ PortError::Broken { .. }) => {
                tracing::warn!(%error, "leases could not be released; they end by themselves");
            }
            Err(error) => tracing::debug!(%error, "leases could not be released; they end by themselves"),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use fleetline_shared::embedded::MemoryLeases;
    use fleetline_shared::ports::Held;

    use super::*;
    use crate::job::tests::Nobody;
    use crate::trouble::log::Log;

    const TTL: Duration = Duration::from_secs(1);

    /// A server that is away at times.
    #[derive(Default)]
    struct Fickle {
        leases: MemoryLeases,
        is_away: AtomicBool,
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
            self.answer()?.acquire_all(wanted, ttl).await
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
        assert!(matches!(lease.lost().await, Loss::ToAnother));
    }
}
