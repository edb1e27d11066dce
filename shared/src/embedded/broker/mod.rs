//! Lines in memory. What a process that dies had on its lines is found by the ledger's sweep.

mod consumer;
mod line;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::{JobId, PortError};
use crate::ports::{Broker, Deliveries, Depth, Message, Unpublished};

use consumer::Consumer;
use line::Line;

/// How often a message that comes back is handed over again, as on `RabbitMQ` 4.
const DELIVERY_LIMIT: u32 = 20;

/// How many dead letters are kept; the oldest go first. Each is logged when it arrives.
const DEAD_LETTERS_KEPT: usize = 1_000;

/// A broker in this process. A line exists as soon as it is named. First in, first out; what
/// comes back unsettled comes back to its old place.
pub struct MemoryBroker {
    shared: Arc<Shared>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

/// What all lines have in common.
struct Shared {
    delivery_limit: u32,
    moved: Notify,
    dead: Mutex<VecDeque<DeadLetter>>,
}

/// A message nobody could work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The line it was on.
    pub line: String,
    /// Its job.
    pub id: JobId,
    /// The message's body.
    pub body: Vec<u8>,
    /// Why it is here, for people.
    pub reason: String,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBroker {
    /// A broker without messages, with a delivery limit of 20.
    pub fn new() -> Self {
        Self::with_delivery_limit(DELIVERY_LIMIT)
    }

    /// A broker that hands a message over again at most `limit` times after it came back
    /// unsettled. After that it is a dead letter.
    pub fn with_delivery_limit(limit: u32) -> Self {
        let shared = Shared { delivery_limit: limit, moved: Notify::new(), dead: Mutex::default() };
        Self { shared: Arc::new(shared), lines: Mutex::default() }
    }

    /// The latest dead letters, 1,000 at most, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        lock(&self.shared.dead).iter().cloned().collect()
    }

    fn line(&self, name: &str) -> Arc<Line> {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get(name) {
            return Arc::clone(line);
        }
        let line = Arc::new(Line::new(name.to_owned(), Arc::clone(&self.shared)));
        lines.insert(name.to_owned(), Arc::clone(&line));
        line
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        messages
            .into_iter()
            .map(|message| {
                self.line(&message.line).push(message.id, message.body);
                Ok(())
            })
            .collect()
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        if prefetch == 0 {
            let message =
                format!("a consumer of line `{line}` with prefetch 0 gets nothing; ask for 1 or more");
            return Err(PortError::Invalid { port: "broker", message });
        }
        Ok(Box::new(Consumer::new(self.line(line), prefetch)))
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        let line = lock(&self.lines).get(line).map(Arc::clone);
        Ok(line.map_or(Depth::default(), |line| line.depth()))
    }

    fn contacts(&self) -> u64 {
        0
    }

    async fn consumers(&self, line: &str) -> Result<usize, PortError> {
        let line = lock(&self.lines).get(line).map(Arc::clone);
        Ok(line.map_or(0, |line| line.consumers()))
    }

    async fn line_moved(&self) {
        self.shared.moved.notified().await;
    }

    async fn took_back(&self) {
        std::future::pending::<()>().await;
    }
}

impl Shared {
    fn bury(&self, letter: DeadLetter) {
        tracing::warn!(line = letter.line, job = %letter.id, reason = letter.reason, "dead letter");
        let mut dead = lock(&self.dead);
        if dead.len() == DEAD_LETTERS_KEPT {
            dead.pop_front();
        }
        dead.push_back(letter);
    }
}

/// Locks are held for a few lines that do not panic, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
