//! Who waits for a place: by priority, and then in the order of asking.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Asks that found no place. Only the first of them tries again.
#[derive(Default)]
pub(super) struct Line(Mutex<Waiting>);

#[derive(Default)]
pub(super) struct Waiting {
    by_order: BTreeMap<Order, Arc<Notify>>,
    asked: u64,
}

/// Higher priorities first, and of equal ones who asked first.
type Order = (Reverse<i16>, u64);

impl Line {
    /// Nobody comes or goes meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place is free, perhaps.
    pub(super) fn look(&self) {
        self.lock().wake_first();
    }
}

impl Waiting {
    /// Whether somebody goes before an ask of this priority.
    pub(super) fn goes_before(&self, priority: i16) -> bool {
        self.by_order.first_key_value().is_some_and(|((Reverse(first), _), _)| *first >= priority)
    }

    /// Queues up behind those of the same priority.
    pub(super) fn join<'a>(&mut self, line: &'a Line, priority: i16) -> Place<'a> {
        self.asked += 1;
        let (order, turn) = ((Reverse(priority), self.asked), Arc::new(Notify::new()));
        self.by_order.insert(order, Arc::clone(&turn));
        Place { line, order, turn }
    }

    fn wake_first(&self) {
        if let Some((_, first)) = self.by_order.first_key_value() {
            first.notify_one();
        }
    }
}

/// A place in the line, given up when it is dropped: then the next one looks.
pub(super) struct Place<'a> {
    line: &'a Line,
    order: Order,
    turn: Arc<Notify>,
}

impl Place<'_> {
    /// Waits for a sign that this one may be the first, or that something changed.
    pub(super) async fn sign(&self) {
        self.turn.notified().await;
    }

    /// Whether nobody goes before.
    pub(super) fn is_first(&self, waiting: &Waiting) -> bool {
        waiting.by_order.first_key_value().is_some_and(|(first, _)| *first == self.order)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.line.lock();
        waiting.by_order.remove(&self.order);
        waiting.wake_first();
    }
}
