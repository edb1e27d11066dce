//! What this process holds of each queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Counts unsettled deliveries by queue, and tells when one ended.
#[derive(Default)]
pub(super) struct Held {
    queues: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    pub(super) moved: Notify,
}

impl Held {
    /// The queue's counter.
    pub(super) fn counter(&self, queue: &str) -> Arc<AtomicUsize> {
        Arc::clone(self.queues().entry(queue.to_owned()).or_default())
    }

    /// How many deliveries of the queue are handed out and not settled.
    pub(super) fn count(&self, queue: &str) -> usize {
        self.queues().get(queue).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicUsize>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One held delivery; counted until it is dropped.
pub(super) struct Holding {
    count: Arc<AtomicUsize>,
    held: Arc<Held>,
}

impl Holding {
    pub(super) fn new(count: Arc<AtomicUsize>, held: Arc<Held>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count, held }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.held.moved.notify_one();
    }
}
