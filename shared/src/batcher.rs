//! Requests that gather while one call is in flight and go together as the next.
//!
//! An idle batcher adds no delay, since no timer waits for company; a busy one makes one call for
//! hundreds of requests. Only requests that nobody is in a hurry for wait a while for others to go with.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// A request, when it goes at the latest, and who waits for its answer.
type Waiting<Request, Answer> = (Request, Instant, oneshot::Sender<Answer>);

/// The sending half. Clones share the task.
pub struct Batcher<Request, Answer> {
    queue: mpsc::UnboundedSender<Waiting<Request, Answer>>,
}

impl<Request, Answer> Clone for Batcher<Request, Answer> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<Request: Send + 'static, Answer: Send + 'static> Batcher<Request, Answer> {
    /// Starts the task. It ends when the last `Batcher` is dropped. `call` answers the requests
    /// in their order. The queue needs no bound: each caller waits for its answer.
    pub fn start<Call, Answers>(limit: usize, call: Call) -> Self
    where
        Call: Fn(Vec<Request>) -> Answers + Send + 'static,
        Answers: Future<Output = Vec<Answer>> + Send,
    {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Waiting<Request, Answer>>();
        tokio::spawn(async move {
            let mut group: Vec<Waiting<Request, Answer>> = Vec::with_capacity(limit);
            let mut is_open = true;
            while is_open {
                let due = group.iter().map(|(_, due, _)| *due).min();
                let room = limit - group.len();
                tokio::select! {
                    biased;
                    came = waiting.recv_many(&mut group, room) => is_open = came > 0,
                    () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                }
                let now = Instant::now();
                let is_due = group.len() == limit || group.iter().any(|(_, due, _)| *due <= now);
                if !group.is_empty() && (is_due || !is_open) {
                    let together = group.drain(..).map(|(request, _, caller)| (request, caller));
                    let (requests, callers): (Vec<_>, Vec<_>) = together.unzip();
                    for (caller, answer) in callers.into_iter().zip(call(requests).await) {
                        let _ = caller.send(answer);
                    }
                }
            }
        });
        Self { queue }
    }

    /// The answer to one request; `None` if the task is gone.
    pub async fn ask(&self, request: Request) -> Option<Answer> {
        self.ask_within(request, Duration::ZERO).await
    }

    /// The same for a request that goes with others if any come within `patience`, and then alone.
    pub async fn ask_within(&self, request: Request, patience: Duration) -> Option<Answer> {
        let (caller, answer) = oneshot::channel();
        self.queue.send((request, Instant::now() + patience, caller)).ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_comes_during_a_call_goes_together_in_the_next() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        let (seen, held) = (Arc::clone(&sizes), Arc::clone(&gate));
        let batcher = Batcher::start(100, move |requests: Vec<u32>| {
            let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
            async move {
                seen.lock().unwrap().push(requests.len());
                held.acquire().await.unwrap().forget();
                requests.into_iter().map(|n| n * 2).collect()
            }
        });
        let ask = |n| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.ask(n).await.unwrap() })
        };
        let first = ask(1);
        while sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (2..=5).map(ask).collect();
        tokio::task::yield_now().await;
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 2);
        let mut answers = Vec::new();
        for answer in rest {
            answers.push(answer.await.unwrap());
        }
        assert_eq!(answers, [4, 6, 8, 10]);
        assert_eq!(*sizes.lock().unwrap(), [1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_patient_goes_with_the_next_or_alone() {
        let batcher =
            Batcher::start(100, |requests: Vec<u32>| async move { vec![requests.len(); requests.len()] });
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
