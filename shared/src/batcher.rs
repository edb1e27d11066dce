//! Requests that gather while one call is in flight and go together as the next.
//!
//! An idle batcher adds no delay, since no timer waits for company; a busy one makes one call for
//! hundreds of requests.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

type Waiting<Request, Answer> = (Request, oneshot::Sender<Answer>);

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
            let mut group = Vec::with_capacity(limit);
            while waiting.recv_many(&mut group, limit).await > 0 {
                let (requests, callers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
                for (caller, answer) in callers.into_iter().zip(call(requests).await) {
                    let _ = caller.send(answer);
                }
            }
        });
        Self { queue }
    }

    /// The answer to one request; `None` if the task is gone.
    pub async fn ask(&self, request: Request) -> Option<Answer> {
        let (caller, answer) = oneshot::channel();
        self.queue.send((request, caller)).ok()?;
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
}
