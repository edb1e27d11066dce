//! One line: what is ready, in order, and how much is handed over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::{DeadLetter, Shared, lock};
use crate::domain::JobId;
use crate::ports::Depth;

/// A message on a line.
pub(super) struct Queued {
    id: JobId,
    pub(super) body: Vec<u8>,
    /// Its number on the line; it keeps it when it comes back.
    place: u64,
    /// How often it came back.
    pub(super) returns: u32,
}

/// A line. The semaphore has one permit for each ready message: waiting consumers get them in
/// the order of their coming, and no wake-up is lost.
pub(super) struct Line {
    name: String,
    shared: Arc<Shared>,
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: BTreeMap<u64, Queued>,
    unsettled: usize,
    consumers: usize,
    last_place: u64,
}

impl Line {
    pub(super) fn new(name: String, shared: Arc<Shared>) -> Self {
        Self { name, shared, permits: Semaphore::new(0), state: Mutex::default() }
    }

    pub(super) fn push(&self, id: JobId, body: Vec<u8>) {
        let mut state = lock(&self.state);
        state.last_place += 1;
        let place = state.last_place;
        state.ready.insert(place, Queued { id, body, place, returns: 0 });
        drop(state);
        self.permits.add_permits(1);
    }

    /// The first ready message, once there is one. Dropped while it waits, it takes none.
    pub(super) async fn take(&self) -> Queued {
        self.permits.acquire().await.expect("a line's semaphore is never closed").forget();
        let mut state = lock(&self.state);
        state.unsettled += 1;
        let (_, queued) = state.ready.pop_first().expect("each permit stands for a ready message");
        drop(state);
        self.shared.moved.notify_one();
        queued
    }

    /// A message that was taken is done with.
    pub(super) fn done(&self) {
        lock(&self.state).unsettled -= 1;
        self.shared.moved.notify_one();
    }

    /// A message that was taken is a dead letter.
    pub(super) fn bury(&self, queued: Queued, reason: String) {
        let Queued { id, body, .. } = queued;
        self.shared.bury(DeadLetter { line: self.name.clone(), id, body, reason });
        self.done();
    }

    /// A message that was taken comes back unsettled.
    pub(super) fn give_back(&self, mut queued: Queued) {
        if queued.returns >= self.shared.delivery_limit {
            let reason = format!("handed over {} times and never settled", u64::from(queued.returns) + 1);
            return self.bury(queued, reason);
        }
        queued.returns += 1;
        let mut state = lock(&self.state);
        state.unsettled -= 1;
        state.ready.insert(queued.place, queued);
        drop(state);
        self.permits.add_permits(1);
    }

    /// Somebody takes from the line from now on.
    pub(super) fn join(&self) {
        lock(&self.state).consumers += 1;
    }

    /// Somebody does so no more.
    pub(super) fn leave(&self) {
        lock(&self.state).consumers -= 1;
    }

    pub(super) fn consumers(&self) -> usize {
        lock(&self.state).consumers
    }

    pub(super) fn depth(&self) -> Depth {
        let state = lock(&self.state);
        Depth { ready: state.ready.len(), unsettled: state.unsettled }
    }
}
