//! Submissions under way, so that a server that ends can wait for them, and break off the rest.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// All submissions of one server. Clones are of the same ones.
#[derive(Clone)]
pub struct Submissions {
    stop: CancellationToken,
    /// Each of them holds a receiver.
    under_way: watch::Sender<()>,
}

impl Default for Submissions {
    fn default() -> Self {
        Self { stop: CancellationToken::new(), under_way: watch::Sender::new(()) }
    }
}

impl Submissions {
    /// Begins one, in a task of its own: it goes on when whoever waits for it leaves.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let under_way = self.under_way.subscribe();
        tokio::spawn(async move {
            let done = task.await;
            drop(under_way);
            done
        })
    }

    /// From now on nothing more is read; what is not whole is cleared away.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// `None` if they are stopped before it is done.
    pub async fn unless_stopped<T>(&self, part: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(part).await
    }

    /// Whether there is one.
    pub fn are_under_way(&self) -> bool {
        self.under_way.receiver_count() > 0
    }

    /// Waits until none is under way.
    pub async fn all_ended(&self) {
        self.under_way.closed().await;
    }
}
