//! Requests that gather while one call is in flight and go together as the next.
//!
//! An idle batcher adds no delay, since no timer waits for company; a busy one makes one call for
//! hundreds of requests. Only requests that nobody is in a hurry for wait a while for others to go with.
//! When more wait than go in one call, a further call goes beside the one in flight.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// A request, when it goes at the latest, and who waits for its answer, if anybody.
type Waiting<Request, Answer> = (Request, Instant, Option<oneshot::Sender<Answer>>);

/// How much room a request takes in a call.
type Weigh<Request> = fn(&Request) -> usize;

/// How requests go together.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// What waits goes when it weighs as much, and no more goes with it. A request weighs 1 if nothing
    /// else is said.
    pub limit: usize,
    /// Calls at the same time at most.
    pub width: usize,
}

/// The sending half. Clones share the task.
pub struct Batcher<Request, Answer> {
    queue: mpsc::UnboundedSender<Waiting<Request, Answer>>,
    crowd: Arc<Crowd>,
    weigh: Weigh<Request>,
}

impl<Request, Answer> Clone for Batcher<Request, Answer> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), crowd: Arc::clone(&self.crowd), weigh: self.weigh }
    }
}

/// Tells the task when as many wait as go in one call: it does not look at each that comes while a call
/// is in flight.
struct Crowd {
    limit: usize,
    /// What weighs what waits. Less than nothing for a moment, when a request is taken before its caller has
    /// counted it.
    queued: AtomicIsize,
    is_there: Notify,
}

impl Crowd {
    fn grow(&self, by: usize) {
        let (by, limit) = (by.cast_signed(), self.limit.cast_signed());
        let before = self.queued.fetch_add(by, Ordering::Relaxed);
        if before < limit && before + by >= limit {
            self.is_there.notify_one();
        }
    }

    fn shrink(&self, by: usize) {
        self.queued.fetch_sub(by.cast_signed(), Ordering::Relaxed);
    }
}

impl<Request: Send + 'static, Answer: Send + 'static> Batcher<Request, Answer> {
    /// Starts the task. It ends when the last `Batcher` is dropped. `call` answers the requests
    /// in their order. The queue needs no bound: each caller waits for its answer.
    pub fn start<Call, Answers>(groups: Groups, call: Call) -> Self
    where
        Call: Fn(Vec<Request>) -> Answers + Send + 'static,
        Answers: Future<Output = Vec<Answer>> + Send + 'static,
    {
        Self::weighed(groups, |_| 1, call)
    }

    /// The same for requests that do not all take as much room.
    pub fn weighed<Call, Answers>(groups: Groups, weigh: Weigh<Request>, call: Call) -> Self
    where
        Call: Fn(Vec<Request>) -> Answers + Send + 'static,
        Answers: Future<Output = Vec<Answer>> + Send + 'static,
    {
        let (queue, inbox) = mpsc::unbounded_channel();
        let crowd = Crowd { limit: groups.limit, queued: AtomicIsize::new(0), is_there: Notify::new() };
        let crowd = Arc::new(crowd);
        let gathering =
            Gathering { inbox, crowd: Arc::clone(&crowd), weigh, group: Vec::new(), weight: 0, due: None };
        tokio::spawn(run(groups, gathering, call));
        Self { queue, crowd, weigh }
    }

    /// Sends a request whose answer nobody waits for. `false`: the task is gone.
    pub fn send(&self, request: Request, patience: Duration) -> bool {
        self.put(request, patience, None)
    }

    /// The answer to one request; `None` if the task is gone.
    pub async fn ask(&self, request: Request) -> Option<Answer> {
        self.ask_within(request, Duration::ZERO).await
    }

    /// The same for a request that goes with others if any come within `patience`, and then alone.
    pub async fn ask_within(&self, request: Request, patience: Duration) -> Option<Answer> {
        let (caller, answer) = oneshot::channel();
        self.put(request, patience, Some(caller));
        answer.await.ok()
    }

    fn put(&self, request: Request, patience: Duration, caller: Option<oneshot::Sender<Answer>>) -> bool {
        let weight = (self.weigh)(&request);
        let is_there = self.queue.send((request, Instant::now() + patience, caller)).is_ok();
        self.crowd.grow(weight);
        is_there
    }
}

/// What goes in the next call.
struct Gathering<Request, Answer> {
    inbox: mpsc::UnboundedReceiver<Waiting<Request, Answer>>,
    crowd: Arc<Crowd>,
    weigh: Weigh<Request>,
    group: Vec<Waiting<Request, Answer>>,
    weight: usize,
    /// When the most hasty of the group goes.
    due: Option<Instant>,
}

impl<Request, Answer> Gathering<Request, Answer> {
    /// Waits for requests, or until one must go. Whether more can come.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            biased;
            came = self.inbox.recv() => {
                let Some(waiting) = came else { return false };
                self.add(waiting);
                self.take();
            }
            () = sleep_until(self.due.unwrap_or_else(Instant::now)), if self.due.is_some() => {}
        }
        true
    }

    /// Takes what is there.
    fn take(&mut self) {
        while self.weight < self.crowd.limit
            && let Ok(waiting) = self.inbox.try_recv()
        {
            self.add(waiting);
        }
    }

    fn add(&mut self, waiting: Waiting<Request, Answer>) {
        let weight = (self.weigh)(&waiting.0);
        self.crowd.shrink(weight);
        self.weight += weight;
        self.due = Some(self.due.map_or(waiting.1, |due| due.min(waiting.1)));
        self.group.push(waiting);
    }

    /// Requests and who waits for them.
    fn go(&mut self) -> (Vec<Request>, Vec<Option<oneshot::Sender<Answer>>>) {
        (self.due, self.weight) = (None, 0);
        self.group.drain(..).map(|(request, _, caller)| (request, caller)).unzip()
    }

    fn is_full(&self) -> bool {
        let queued = self.crowd.queued.load(Ordering::Relaxed);
        self.weight.saturating_add_signed(queued) >= self.crowd.limit
    }

    fn is_due(&self) -> bool {
        self.weight >= self.crowd.limit || self.due.is_some_and(|due| due <= Instant::now())
    }
}

async fn run<Request, Answer, Call, Answers>(
    groups: Groups,
    mut gathering: Gathering<Request, Answer>,
    call: Call,
) where
    Call: Fn(Vec<Request>) -> Answers,
    Answers: Future<Output = Vec<Answer>>,
{
    let crowd = Arc::clone(&gathering.crowd);
    let mut calls = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !calls.is_empty() {
        if calls.is_empty() {
            is_open = gathering.wait().await;
        } else {
            let may_begin = calls.len() < groups.width;
            if !(may_begin && gathering.is_full()) {
                tokio::select! {
                    biased;
                    _ = calls.next() => {}
                    () = crowd.is_there.notified(), if may_begin => {}
                }
            }
            if calls.len() < groups.width && (calls.is_empty() || gathering.is_full()) {
                gathering.take();
            }
        }
        let goes = calls.is_empty() || gathering.weight >= groups.limit;
        if goes && !gathering.group.is_empty() && (gathering.is_due() || !is_open) {
            let (requests, callers) = gathering.go();
            let answers = call(requests);
            calls.push(async move {
                for (caller, answer) in callers.into_iter().zip(answers.await) {
                    let _ = caller.map(|caller| caller.send(answer));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    const ONE: Groups = Groups { limit: 100, width: 1 };

    /// Calls that double their numbers when the gate opens, with the sizes of their groups.
    type Gated = (Batcher<u32, u32>, Arc<Mutex<Vec<usize>>>, Arc<Semaphore>);

    fn gated(groups: Groups) -> Gated {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        let (seen, held) = (Arc::clone(&sizes), Arc::clone(&gate));
        let batcher = Batcher::start(groups, move |requests: Vec<u32>| {
            let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
            async move {
                seen.lock().unwrap().push(requests.len());
                held.acquire().await.unwrap().forget();
                requests.into_iter().map(|n| n * 2).collect()
            }
        });
        (batcher, sizes, gate)
    }

    /// Asks for these, and goes on when so many calls have begun.
    async fn ask_all(
        (batcher, sizes, _): &Gated,
        numbers: std::ops::RangeInclusive<u32>,
        calls: usize,
    ) -> tokio::task::JoinSet<u32> {
        let mut asks = tokio::task::JoinSet::new();
        for n in numbers {
            let batcher = batcher.clone();
            asks.spawn(async move { batcher.ask(n).await.unwrap() });
            tokio::task::yield_now().await;
        }
        while sizes.lock().unwrap().len() < calls {
            tokio::task::yield_now().await;
        }
        asks
    }

    async fn sorted(asks: tokio::task::JoinSet<u32>) -> Vec<u32> {
        let mut answers = asks.join_all().await;
        answers.sort_unstable();
        answers
    }

    #[tokio::test]
    async fn what_comes_during_a_call_goes_together_in_the_next() {
        let gated = gated(ONE);
        let first = ask_all(&gated, 1..=1, 1).await;
        let rest = ask_all(&gated, 2..=5, 1).await;
        gated.2.add_permits(2);
        assert_eq!(sorted(first).await, [2]);
        assert_eq!(sorted(rest).await, [4, 6, 8, 10]);
        assert_eq!(*gated.1.lock().unwrap(), [1, 4]);
    }

    #[tokio::test]
    async fn a_crowd_does_not_wait_for_the_call_in_flight() {
        let gated = gated(Groups { limit: 3, width: 2 });
        let first = ask_all(&gated, 1..=1, 1).await;
        let crowd = ask_all(&gated, 2..=9, 2).await;
        assert_eq!(*gated.1.lock().unwrap(), [1, 3], "and no more calls than two");
        gated.2.add_permits(9);
        assert_eq!(sorted(first).await, [2]);
        assert_eq!(sorted(crowd).await, [4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(*gated.1.lock().unwrap(), [1, 3, 3, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_patient_goes_with_the_next_or_alone() {
        let batcher =
            Batcher::start(ONE, |requests: Vec<u32>| async move { vec![requests.len(); requests.len()] });
        let patience = Duration::from_secs(5);
        let (began, patient) = (Instant::now(), batcher.ask_within(1, patience));
        let hasty = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            batcher.ask(2).await
        };
        assert_eq!(tokio::join!(patient, hasty), (Some(2), Some(2)));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert_eq!(batcher.ask_within(1, patience).await, Some(1));
        assert_eq!(began.elapsed(), Duration::from_secs(6));
    }
}
