//! The leases of a worker's jobs: taken in groups, renewed together while their jobs run, given up in
//! groups.

use std::collections::HashMap;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fleetline_shared::domain::{JobId, PortError};
use fleetline_shared::ports::{Acquired, Delivery, Held, Hold, Holder, Leases};
use futures_util::future::{join_all, try_join_all};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::intake::GRACE;
use crate::trouble::Trouble;

/// A lease is renewed after this share of its life, as soon as it is looked at.
const RENEWAL: u32 = 3;
/// How often leases are looked at in a life.
const LOOKS: u32 = 12;
/// Who waits for a holder to say that it goes on does so for no longer than [`GRACE`]: what was not heard is said again
/// after this time.
const SAY_AGAIN: Duration = Duration::from_millis(200);
/// Leases that are renewed in one call at most.
const GROUP: usize = 256;
/// Token of a holder that lives and goes on though the broker has taken its delivery back: whoever is handed it
/// leaves the lease alone for as long as it is renewed.
const STAYS: u64 = u64::MAX;
/// Such a lease has this share of the usual life: nobody takes it over sooner, though its holder may have died meanwhile.
const STAYING: u32 = 3;

/// Takes leases, and renews those that are held.
pub(crate) struct Keeper {
    leases: Arc<dyn Leases>,
    ttl: Duration,
    held: Mutex<Numbered>,
    /// How often deliveries were taken back.
    breaks: AtomicU64,
    trouble: Trouble,
}

#[derive(Default)]
struct Numbered {
    by_number: HashMap<u64, Arc<Tenure>>,
    last: u64,
}

/// What is known of a lease that is held.
struct Tenure {
    number: u64,
    hold: Hold,
    /// The holder's, which may have become [`STAYS`].
    token: AtomicU64,
    /// Whether the leases' service may not know of that yet.
    is_unsaid: AtomicBool,
    /// When the leases' service last knew of it.
    renewed: Mutex<Instant>,
    is_lost: AtomicBool,
    lost: Notify,
    /// Later deliveries of the same dispatch: the connection broke over which the first one came. `None`: the
    /// outcome is recorded, none is left to the attempt any more.
    again: Mutex<Option<Vec<Delivery>>>,
}

/// A lease this process holds, and renews until it is dropped.
pub(crate) struct HeldLease {
    keeper: Arc<Keeper>,
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

impl Keeper {
    /// Leases that live so long without renewal. Must be called in a tokio runtime.
    pub(crate) fn start(leases: Arc<dyn Leases>, ttl: Duration) -> Arc<Self> {
        let keeper = Arc::new(Self {
            leases,
            ttl,
            held: Mutex::default(),
            breaks: AtomicU64::new(0),
            trouble: Trouble::with("leases"),
        });
        tokio::spawn(keep(Arc::downgrade(&keeper), ttl / LOOKS));
        tokio::spawn(keep_saying(Arc::downgrade(&keeper)));
        keeper
    }

    /// For how long one who wants a lease had better wait for others.
    pub(crate) fn patience(&self) -> Duration {
        self.leases.patience()
    }

    /// Takes those of these leases that are free. The answers are in their order.
    pub(crate) async fn take(self: &Arc<Self>, wanted: Vec<Hold>) -> Result<Vec<Taken>, PortError> {
        let (asked, breaks) = (Instant::now(), self.breaks());
        let answers = self.leases.acquire_all(&wanted, self.ttl).await;
        self.trouble.hear(&answers);
        let taken = {
            let mut held = self.held();
            let taken = |(hold, answer): (Hold, Acquired)| match answer {
                Acquired::Yes => Taken::Yes(self.keep(&mut held, hold, asked)),
                Acquired::Duplicate => Taken::Duplicate,
                Acquired::Held { expires_in } => Taken::Held { expires_in },
            };
            wanted.into_iter().zip(answers?).map(taken).collect()
        };
        if self.breaks() != breaks {
            self.stay().await;
        }
        Ok(taken)
    }

    fn keep(self: &Arc<Self>, leases: &mut Numbered, hold: Hold, asked: Instant) -> HeldLease {
        let (renewed, again) = (Mutex::new(asked), Mutex::new(Some(Vec::new())));
        let token = AtomicU64::new(hold.holder.token);
        leases.last += 1;
        let number = leases.last;
        let tenure = Arc::new(Tenure {
            number,
            hold,
            token,
            is_unsaid: AtomicBool::new(false),
            renewed,
            is_lost: AtomicBool::new(false),
            lost: Notify::new(),
            again,
        });
        leases.by_number.insert(number, Arc::clone(&tenure));
        HeldLease { keeper: Arc::clone(self), tenure }
    }

    /// Leaves a delivery that the broker hands over again to the attempt of this process that is at its very
    /// dispatch, if there is one: it settles it when its outcome is recorded. A call anew would be paid for
    /// twice.
    pub(crate) fn join(&self, job: JobId, fence: u64, again: Delivery) -> Result<(), Delivery> {
        let held = self.held();
        let is_same = |tenure: &&Arc<Tenure>| {
            let Holder { job: holder, fence: dispatch, .. } = tenure.hold.holder;
            (holder, dispatch) == (job, fence) && !tenure.is_lost()
        };
        let Some(tenure) = held.by_number.values().find(is_same) else { return Err(again) };
        match lock(&tenure.again).as_mut() {
            Some(deliveries) => deliveries.push(again),
            None => return Err(again),
        }
        tracing::debug!(%job, "delivered again while its call is under way");
        Ok(())
    }

    /// How often deliveries were taken back. One from before the last time is no longer this process's.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::SeqCst)
    }

    /// The broker hands to others what this process is at: its calls go on, and nobody is to make them anew. Who
    /// is handed a delivery waits for this for a while, so it must be soon.
    pub(crate) async fn go_on(&self) {
        self.breaks.fetch_add(1, Ordering::SeqCst);
        self.stay().await;
    }

    async fn stay(&self) {
        let may_be_taken_over = |tenure: &&Arc<Tenure>| !tenure.is_lost() && tenure.token() != STAYS;
        let held: Vec<_> = self.held().by_number.values().filter(may_be_taken_over).cloned().collect();
        for tenure in &held {
            tenure.token.store(STAYS, Ordering::SeqCst);
        }
        self.say_all(&held).await;
    }

    /// Says once more what may not have been heard.
    async fn say_again(&self) {
        let is_unsaid = |tenure: &&Arc<Tenure>| !tenure.is_lost() && tenure.is_unsaid.load(Ordering::SeqCst);
        let unsaid: Vec<_> = self.held().by_number.values().filter(is_unsaid).cloned().collect();
        self.say_all(&unsaid).await;
    }

    async fn say_all(&self, tenures: &[Arc<Tenure>]) {
        join_all(tenures.chunks(GROUP).map(|group| self.say(group))).await;
    }

    /// Takes leases over from this process's own earlier holders. One that another has by now is that one's, though this
    /// call began first: both are paid for, and the other has the only message. What gets no answer is said again.
    async fn say(&self, group: &[Arc<Tenure>]) {
        if self.try_say(group).await.is_err() {
            for tenure in group {
                tenure.is_unsaid.store(true, Ordering::SeqCst);
            }
        }
    }

    async fn try_say(&self, group: &[Arc<Tenure>]) -> Result<(), PortError> {
        let group = self.without_others(group).await?;
        let holds: Vec<Hold> = group.iter().map(|tenure| tenure.hold()).collect();
        let asked = Instant::now();
        let answers = self.leases.acquire_all(&holds, self.ttl / STAYING).await;
        self.trouble.hear(&answers);
        let mut late = Vec::new();
        for ((tenure, hold), answer) in group.into_iter().zip(holds).zip(answers?) {
            if answer != Acquired::Yes {
                tenure.lose();
                continue;
            }
            *lock(&tenure.renewed) = asked;
            tenure.is_unsaid.store(false, Ordering::SeqCst);
            if !self.held().by_number.contains_key(&tenure.number) {
                late.push(hold);
            }
        }
        // They were given up before they were taken once more.
        if !late.is_empty() {
            self.give_up(&late).await;
        }
        Ok(())
    }

    /// Those of these leases that no other has; the others are lost.
    async fn without_others(&self, group: &[Arc<Tenure>]) -> Result<Vec<Arc<Tenure>>, PortError> {
        let are_anothers = try_join_all(group.iter().map(|tenure| self.is_anothers(tenure))).await?;
        let mut ours = Vec::with_capacity(group.len());
        for (tenure, is_anothers) in group.iter().zip(are_anothers) {
            if is_anothers {
                tenure.lose();
            } else {
                ours.push(Arc::clone(tenure));
            }
        }
        Ok(ours)
    }

    /// Whether another has this lease by now. A process that stood still, or was cut off from everybody, has not heard
    /// of it. Its own it knows whatever their token is.
    async fn is_anothers(&self, tenure: &Tenure) -> Result<bool, PortError> {
        let Hold { key, holder: own } = &tenure.hold;
        let held = self.look(key).await?;
        Ok(held.is_some_and(|Held { holder, .. }| Holder { token: own.token, ..holder } != *own))
    }

    /// Who has a lease.
    pub(crate) async fn look(&self, key: &str) -> Result<Option<Held>, PortError> {
        let held = self.leases.holder(key).await;
        self.trouble.hear(&held);
        held
    }

    /// Renews what has lived for a third of the usual life, and those that live shorter. What is lost is not taken back.
    async fn renew(&self) {
        let now = Instant::now();
        let is_due = |tenure: &&Arc<Tenure>| {
            let is_old = now >= tenure.renewed() + self.ttl / RENEWAL;
            !tenure.is_lost() && (is_old || tenure.token() == STAYS)
        };
        let due: Vec<_> = self.held().by_number.values().filter(is_due).cloned().collect();
        let (staying, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|tenure| tenure.token() == STAYS);
        let groups = staying.chunks(GROUP).chain(others.chunks(GROUP));
        join_all(groups.map(|group| self.renew_group(group))).await;
    }

    /// All of the same life. Leases that cannot be reached are no loss, however long: what is under way is paid for, and
    /// what nobody has taken meanwhile is taken again as soon as somebody answers.
    async fn renew_group(&self, group: &[Arc<Tenure>]) {
        let stay = group.first().is_some_and(|tenure| tenure.token() == STAYS);
        let life = if stay { self.ttl / STAYING } else { self.ttl };
        let holds: Vec<Hold> = group.iter().map(|tenure| tenure.hold()).collect();
        let asked = Instant::now();
        let answers = self.leases.renew_all(&holds, life).await;
        self.trouble.hear(&answers);
        let Ok(answers) = answers else {
            // They may end meanwhile, and are taken anew before those who wait for them may.
            group.iter().filter(|_| stay).for_each(|tenure| tenure.is_unsaid.store(true, Ordering::SeqCst));
            return;
        };
        let mut not_ours = Vec::new();
        for (tenure, is_ours) in group.iter().zip(answers) {
            if is_ours {
                *lock(&tenure.renewed) = asked;
            } else {
                not_ours.push(Arc::clone(tenure));
            }
        }
        self.lose(not_ours).await;
    }

    /// Others have these leases. Or this process has them by its token of before a break, for what it said of it did not
    /// arrive, or had not when it was asked.
    async fn lose(&self, not_ours: Vec<Arc<Tenure>>) {
        let (may_be_ours, lost): (Vec<_>, Vec<_>) =
            not_ours.into_iter().partition(|tenure| tenure.token() == STAYS);
        for tenure in lost {
            tenure.lose();
        }
        self.say_all(&may_be_ours).await;
    }

    /// What cannot be given up ends by itself.
    async fn give_up(&self, holds: &[Hold]) {
        match self.leases.release_all(holds).await {
            // It does not pass by itself: a right that is missing, or a server that is no Redis.
            Err(error @ PortError::Broken { .. }) => {
                tracing::warn!(%error, "leases could not be released; they end by themselves");
            }
            Err(error) => tracing::debug!(%error, "leases could not be released; they end by themselves"),
            Ok(_) => {}
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

/// Says, as long as anybody has the keeper, what was not heard.
async fn keep_saying(keeper: Weak<Keeper>) {
    loop {
        sleep(SAY_AGAIN).await;
        let Some(keeper) = keeper.upgrade() else { return };
        keeper.say_again().await;
    }
}

impl Tenure {
    fn token(&self) -> u64 {
        self.token.load(Ordering::SeqCst)
    }

    /// As the leases' service knows it.
    fn hold(&self) -> Hold {
        let Hold { key, holder } = &self.hold;
        Hold { key: key.clone(), holder: Holder { token: self.token(), ..*holder } }
    }

    fn renewed(&self) -> Instant {
        *lock(&self.renewed)
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.lost.notify_one();
    }
}

impl HeldLease {
    /// Nobody is to take it over, as if its delivery had been taken back: there is another message of the same dispatch,
    /// which may be handed to others while this one's connection is well.
    pub(crate) fn stays(&self) {
        self.tenure.is_unsaid.store(true, Ordering::SeqCst);
        self.tenure.token.store(STAYS, Ordering::SeqCst);
    }

    /// Resolves when another has it: the job is that one's business now. For one caller.
    pub(crate) async fn lost(&self) {
        while !self.tenure.is_lost() {
            self.tenure.lost.notified().await;
        }
    }

    /// Whether another has it by now, as far as that can be told. One that was renewed just now is looked at by nobody:
    /// who would take it over waits for longer.
    pub(crate) async fn is_anothers(&self) -> bool {
        let tenure = &self.tenure;
        if tenure.is_lost() || tenure.renewed().elapsed() < GRACE {
            return tenure.is_lost();
        }
        matches!(self.keeper.is_anothers(tenure).await, Ok(true))
    }

    /// The outcome is recorded: the deliveries that were left to the attempt.
    pub(crate) fn recorded(&self) -> Vec<Delivery> {
        lock(&self.tenure.again).take().unwrap_or_default()
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.keeper.held().by_number.remove(&self.tenure.number);
    }
}

/// Gives leases up.
pub(crate) async fn release(mut leases: Vec<HeldLease>) {
    while let Some(first) = leases.first() {
        let keeper = Arc::clone(&first.keeper);
        let (of_keeper, others): (Vec<_>, Vec<_>) =
            take(&mut leases).into_iter().partition(|lease| Arc::ptr_eq(&lease.keeper, &keeper));
        leases = others;
        let tenures: Vec<_> = of_keeper.iter().map(|lease| Arc::clone(&lease.tenure)).collect();
        // Nobody must renew them after they are given up.
        drop(of_keeper);
        let holds: Vec<Hold> = tenures.iter().map(|tenure| tenure.hold()).collect();
        keeper.give_up(&holds).await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
