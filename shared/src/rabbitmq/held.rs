//! What this process holds of each queue: unsettled deliveries, and consumers with their buffers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

use super::loan::{Loan, Loans};
use super::settle::Command;
use crate::ports::Taker;

/// Everything of all queues.
#[derive(Default)]
pub(super) struct Held {
    queues: Mutex<HashMap<String, Arc<HeldQueue>>>,
    pub(super) moved: Arc<Notify>,
}

impl Held {
    /// What is held of this queue.
    pub(super) fn queue(&self, name: &str) -> Arc<HeldQueue> {
        let new = || Arc::new(HeldQueue::new(Arc::clone(&self.moved)));
        Arc::clone(lock(&self.queues).entry(name.to_owned()).or_insert_with(new))
    }

    /// How many deliveries of the queue are handed out and not settled.
    pub(super) fn count(&self, name: &str) -> usize {
        lock(&self.queues).get(name).map_or(0, |queue| queue.unsettled.load(Ordering::Relaxed))
    }
}

/// What is held of one queue.
pub(super) struct HeldQueue {
    unsettled: AtomicUsize,
    members: Mutex<Vec<Member>>,
    /// Wakes those who wait for the buffers of all members when there is a new one.
    pub(super) joined: Notify,
    moved: Arc<Notify>,
}

/// A consumer of the queue. The broker pushes: it may hand a message to one that nobody asks while
/// another waits. Clones share the buffer, so whoever waits can take from it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) taker: Taker,
    pub(super) stream: lapin::Consumer,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Told when another member met the end of the stream.
    pub(super) ended: Arc<Notify>,
    /// What other members took from the buffer.
    pub(super) loans: Arc<Loans>,
}

impl Member {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ended, &other.ended)
    }
}

impl HeldQueue {
    fn new(moved: Arc<Notify>) -> Self {
        Self { unsettled: AtomicUsize::new(0), members: Mutex::default(), joined: Notify::new(), moved }
    }

    pub(super) fn join(&self, member: Member) {
        lock(&self.members).push(member);
        self.joined.notify_waiters();
    }

    pub(super) fn leave(&self, member: &Member) {
        lock(&self.members).retain(|other| !other.is(member));
    }

    /// Those of other takers.
    pub(super) fn others(&self, member: &Member) -> Vec<Member> {
        lock(&self.members).iter().filter(|other| other.taker != member.taker).cloned().collect()
    }
}

/// One held delivery, counted until it is dropped.
pub(super) struct Holding {
    queue: Arc<HeldQueue>,
    _slot: OwnedSemaphorePermit,
    _loan: Loan,
}

impl Holding {
    /// `slot` bounds how many a consumer has; `loan` keeps its channel open.
    pub(super) fn new(queue: Arc<HeldQueue>, slot: OwnedSemaphorePermit, loan: Loan) -> Self {
        queue.unsettled.fetch_add(1, Ordering::Relaxed);
        Self { queue, _slot: slot, _loan: loan }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.queue.unsettled.fetch_sub(1, Ordering::Relaxed);
        self.queue.moved.notify_one();
    }
}

/// Locks are held for a few lines that do not panic, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
