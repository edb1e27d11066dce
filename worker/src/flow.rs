//! How many jobs a worker has in hand: as many as may call at the same time, and so many more as are
//! on their way to a call or from it.
//!
//! A job needs leases, checks and quota before its call, and a commit after it. If it kept its place
//! among the calls meanwhile, short calls would leave places empty. So a place is held for the call
//! alone, and the jobs in hand are `concurrency` plus three times those that are on the way, as seen lately. With
//! long calls that is none: what this worker cannot start stays with the broker for others. Likewise a
//! job asks for quota a moment before a place gets free, but not sooner: quota that is set aside is used
//! at once, and what waits for a place has a slot that it may miss.
//!
//! Calls that are paid for and not recorded yet are what a crash loses: `concurrency` and a quarter at
//! most, however long the ledger takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Lately: so many seconds.
const LATELY: f64 = 0.5;
/// A pause in what comes before a call or after it, a slow commit say, has several times the mean on
/// its way. Until it is over the places live on what is ahead.
const SLACK: f64 = 3.0;
/// Likewise of those who ask for quota.
const ASKING_SLACK: f64 = 2.0;

/// The jobs in a worker's hands.
pub(crate) struct Flow {
    concurrency: usize,
    places: Arc<Semaphore>,
    /// Those who have a place or ask for quota: as many as there are places, and [`Hands::early`].
    turnstile: Arc<Semaphore>,
    /// Calls that are not recorded yet.
    open: Arc<Semaphore>,
    hands: Mutex<Hands>,
    room: Notify,
}

struct Hands {
    jobs: usize,
    /// Of those: calling, or ready to as soon as there is a place.
    at_call: usize,
    /// Of those: asking for quota.
    asking: usize,
    /// Beside them all: those that wait apart.
    apart: usize,
    /// Asking, or not at the call, as a mean over what was lately.
    under_way: f64,
    /// Asking, likewise.
    asking_lately: f64,
    /// How many more may ask than there are places.
    early: usize,
    seen: Instant,
}

impl Hands {
    /// Before every change: for so long it was like this.
    fn look(&mut self) {
        let now = Instant::now();
        let weight = 1.0 - (-now.duration_since(self.seen).as_secs_f64() / LATELY).exp();
        let under_way = (self.jobs.saturating_sub(self.at_call) + self.asking) as f64;
        self.under_way += weight * (under_way - self.under_way);
        self.asking_lately += weight * (self.asking as f64 - self.asking_lately);
        self.seen = now;
    }

    /// Counts a hand, once.
    fn count_at_call(&mut self, is_counted: &mut bool) {
        self.at_call += usize::from(!std::mem::replace(is_counted, true));
    }
}

impl Flow {
    /// `concurrency` calls at the same time.
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            places: Arc::new(Semaphore::new(concurrency)),
            turnstile: Arc::new(Semaphore::new(concurrency)),
            open: Arc::new(Semaphore::new(concurrency + 2 * (concurrency / 8))),
            hands: Mutex::new(Hands {
                jobs: 0,
                apart: 0,
                at_call: 0,
                asking: 0,
                under_way: 0.0,
                asking_lately: 0.0,
                early: 0,
                seen: Instant::now(),
            }),
            room: Notify::new(),
        }
    }

    /// Waits until one more job may be taken. For one caller.
    pub(crate) async fn take(self: &Arc<Self>) -> Hand {
        loop {
            {
                let hands = self.looked_at();
                if hands.jobs < self.concurrency + self.ahead_of(&hands) {
                    drop(hands);
                    return self.one_more();
                }
            }
            self.room.notified().await;
        }
    }

    fn one_more(self: &Arc<Self>) -> Hand {
        self.hands().jobs += 1;
        Hand {
            flow: Arc::clone(self),
            apart: false,
            at_call: false,
            open: None,
            turnstile: None,
            place: None,
        }
    }

    /// How many jobs beyond `concurrency` are or may be in hand. Of those that wait apart `concurrency` count at most:
    /// one worker is not to take all that its neighbours had.
    pub(crate) fn ahead(&self) -> usize {
        let hands = self.hands();
        self.ahead_of(&hands) + hands.apart.min(self.concurrency)
    }

    /// Of those that do not wait apart; never more than `concurrency` again.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn ahead_of(&self, hands: &Hands) -> usize {
        ((hands.under_way * SLACK).round() as usize).min(self.concurrency)
    }

    /// Lets twice as many ask early as lately asked at a time, but few.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn set_turnstile(&self, hands: &mut Hands) {
        let early = ((hands.asking_lately * ASKING_SLACK).round() as usize).min(self.concurrency / 8);
        if early > hands.early {
            self.turnstile.add_permits(early - hands.early);
            hands.early = early;
        } else {
            hands.early -= self.turnstile.forget_permits(hands.early - early);
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self) -> MutexGuard<'_, Hands> {
        let mut hands = self.hands();
        hands.look();
        hands
    }
}

/// A job in hand, until it is dropped, and its way through a call.
pub(crate) struct Hand {
    flow: Arc<Flow>,
    /// It waits for another worker's call, or for its leases.
    apart: bool,
    at_call: bool,
    /// From the ask for quota until the outcome is recorded, which is when this is dropped.
    open: Option<OwnedSemaphorePermit>,
    /// From the ask for quota to the end of the call.
    turnstile: Option<OwnedSemaphorePermit>,
    /// During the call.
    place: Option<OwnedSemaphorePermit>,
}

/// Asks for quota, until it is dropped.
struct Asking<'f>(&'f Flow);

impl<'f> Asking<'f> {
    fn new(flow: &'f Flow) -> Self {
        flow.looked_at().asking += 1;
        Self(flow)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.looked_at().asking -= 1;
    }
}

impl Hand {
    /// Waits for what is soon known, and may call then: no other job is taken in its place, nor ahead of it. One that
    /// waits apart goes on with that, for its place may be another's.
    pub(crate) fn stand_by(&mut self) {
        if !self.apart {
            let mut hands = self.flow.looked_at();
            hands.count_at_call(&mut self.at_call);
        }
    }

    /// Waits for another worker's call, for nobody knows how long: another job may be taken in its place. How many
    /// wait so, what a line hands to one worker at most bounds.
    pub(crate) fn wait_apart(&mut self) {
        self.end_call();
        if !std::mem::replace(&mut self.apart, true) {
            let mut hands = self.flow.looked_at();
            hands.jobs -= 1;
            hands.apart += 1;
            self.flow.room.notify_one();
        }
    }

    /// Waits until a place among the calls is free, or will be when quota is there.
    pub(crate) async fn begin_call(&mut self) {
        {
            let mut hands = self.flow.looked_at();
            if std::mem::take(&mut self.apart) {
                hands.jobs += 1;
                hands.apart -= 1;
            }
            hands.count_at_call(&mut self.at_call);
            self.flow.set_turnstile(&mut hands);
        }
        self.open = Some(permit(&self.flow.open).await);
        self.turnstile = Some(permit(&self.flow.turnstile).await);
    }

    /// Waits for the answer to an ask for quota.
    pub(crate) async fn admission<Ask: Future>(&mut self, ask: Ask) -> Ask::Output {
        let _asking = Asking::new(&self.flow);
        ask.await
    }

    /// Waits for a place among the calls, unless it has one.
    pub(crate) async fn take_place(&mut self) {
        if self.place.is_none() {
            self.place = Some(permit(&self.flow.places).await);
        }
    }

    /// The next one may call.
    pub(crate) fn end_call(&mut self) {
        self.place = None;
        self.turnstile = None;
        if std::mem::take(&mut self.at_call) {
            self.flow.looked_at().at_call -= 1;
        }
    }

    /// The outcome will not be recorded by this worker: nobody calls in its place, for that call's
    /// outcome would be lost as well.
    pub(crate) fn never_recorded(mut self) {
        if let Some(open) = self.open.take() {
            open.forget();
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.end_call();
        {
            let mut hands = self.flow.looked_at();
            if self.apart {
                hands.apart -= 1;
            } else {
                hands.jobs -= 1;
            }
        }
        self.flow.room.notify_one();
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    const JOBS: u32 = 20_000;

    /// So many calls at the same time, each so long, with so much before it and after it, and a wait for
    /// quota. Returns their rate as a share of the ideal one, and the most jobs that were in hand.
    async fn life(concurrency: usize, call: u64, around: u64, admission: u64) -> (f64, usize) {
        let flow = Arc::new(Flow::new(concurrency));
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        let mut most = 0;
        for _ in 0..JOBS {
            let mut hand = flow.take().await;
            most = most.max(flow.hands().jobs);
            tasks.spawn(async move {
                sleep(Duration::from_millis(around)).await;
                hand.begin_call().await;
                hand.admission(sleep(Duration::from_millis(admission))).await;
                hand.take_place().await;
                sleep(Duration::from_millis(call)).await;
                hand.end_call();
                sleep(Duration::from_millis(around)).await;
                drop(hand);
            });
        }
        while tasks.join_next().await.is_some() {}
        let ideal = f64::from(JOBS) * call as f64 / 1e3 / concurrency as f64;
        (ideal / started.elapsed().as_secs_f64(), most)
    }

    #[tokio::test(start_paused = true)]
    async fn short_calls_leave_no_place_empty() {
        let (share, most) = life(100, 50, 5, 4).await;
        assert!(share > 0.98, "{share}");
        assert!((110..200).contains(&most), "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn long_calls_have_no_job_waiting() {
        let (_, most) = life(10, 60_000, 5, 4).await;
        assert_eq!(most, 10);
    }

    /// Everything that waits would wait for ever.
    async fn can_begin(hand: &mut Hand) -> bool {
        tokio::time::timeout(Duration::from_secs(1), hand.begin_call()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_crash_loses_is_bounded() {
        let flow = Arc::new(Flow::new(16));
        let mut recording = Vec::new();
        loop {
            let mut hand = flow.one_more();
            if !can_begin(&mut hand).await {
                break;
            }
            hand.end_call();
            recording.push(hand);
        }
        assert_eq!(recording.len(), 20);
        recording.pop();
        assert!(can_begin(&mut flow.one_more()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_calls_in_place_of_what_was_not_recorded() {
        let flow = Arc::new(Flow::new(4));
        for _ in 0..4 {
            let mut hand = flow.one_more();
            hand.begin_call().await;
            hand.end_call();
            hand.never_recorded();
        }
        assert!(!can_begin(&mut flow.one_more()).await);
    }

    /// Or jobs that need nothing of what it waits for, the leases' service perhaps, would wait as well.
    #[tokio::test(start_paused = true)]
    async fn who_waits_apart_keeps_nobody_from_its_call() {
        let flow = Arc::new(Flow::new(10));
        let mut waiting: Vec<Hand> = (0..10).map(|_| flow.one_more()).collect();
        for hand in &mut waiting {
            hand.wait_apart();
            hand.wait_apart();
        }
        sleep(Duration::from_mins(1)).await;
        assert_eq!(flow.looked_at().jobs, 0);
        assert_eq!(flow.ahead(), 10, "what the broker may push does not end with them");
        let taken: Vec<Hand> = [flow.take().await, flow.take().await].into();
        drop(waiting.pop());
        for hand in &mut waiting {
            assert!(can_begin(hand).await);
            hand.end_call();
        }
        assert_eq!(flow.hands().jobs, 11);
        assert_eq!(flow.hands().at_call, 0, "each was counted once");
        drop((waiting, taken));
        let hands = flow.hands();
        assert_eq!((hands.jobs, hands.apart), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_apart_lets_few_more_come() {
        let flow = Arc::new(Flow::new(10));
        let mut waiting: Vec<Hand> = (0..30).map(|_| flow.one_more()).collect();
        waiting.iter_mut().for_each(Hand::wait_apart);
        assert_eq!(flow.ahead(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_by_lets_nobody_come_instead_or_ahead() {
        let flow = Arc::new(Flow::new(10));
        let mut waiting: Vec<Hand> = (0..10).map(|_| flow.one_more()).collect();
        waiting.iter_mut().for_each(Hand::stand_by);
        let taken = tokio::time::timeout(Duration::from_mins(1), flow.take()).await;
        assert!(taken.is_err());
        assert_eq!(flow.ahead(), 0);
        waiting[0].wait_apart();
        waiting[0].stand_by();
        assert_eq!(flow.hands().at_call, 9, "its place may be another's by now");
        drop((flow.take().await, waiting));
        let hands = flow.hands();
        assert_eq!((hands.jobs, hands.at_call, hands.apart), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_it() {
        let (_, most) = life(10, 1, 100, 1).await;
        assert_eq!(most, 20);
    }
}
