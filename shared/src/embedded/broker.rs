//! Lines in memory. What a process that dies had on its lines is found by the ledger's sweep.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::domain::PortError;
use crate::ports::{Broker, Deliveries, Delivery, Depth, Message, Settle, Settlement};

/// A message handed over so often and never settled goes to the dead letters.
const DELIVERY_LIMIT: u32 = 20;

/// A broker in this process. Clones share its lines.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    lines: Arc<Mutex<HashMap<String, Arc<Line>>>>,
    moved: Arc<Notify>,
    dead: Arc<Mutex<Vec<DeadLetter>>>,
}

/// A message nobody could work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's body.
    pub body: Vec<u8>,
    /// Why it is here.
    pub reason: String,
}

#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    /// Wakes one waiting consumer per message.
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Queued>,
    unsettled: usize,
}

struct Queued {
    body: Vec<u8>,
    deliveries: u32,
}

impl MemoryBroker {
    /// An empty broker.
    pub fn new() -> Self {
        Self::default()
    }

    /// The messages nobody could work with, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        lock(&self.dead).clone()
    }

    fn line(&self, name: &str) -> Arc<Line> {
        Arc::clone(lock(&self.lines).entry(name.to_owned()).or_default())
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), PortError>> {
        messages
            .into_iter()
            .map(|message| {
                let line = self.line(&message.line);
                lock(&line.queue).ready.push_back(Queued { body: message.body, deliveries: 0 });
                line.arrived.notify_one();
                Ok(())
            })
            .collect()
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        Ok(Box::new(Consumer {
            line: self.line(line),
            slots: Arc::new(Semaphore::new(prefetch.max(1))),
            broker: self.clone(),
        }))
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        let line = self.line(line);
        let queue = lock(&line.queue);
        Ok(Depth { ready: queue.ready.len(), unsettled: queue.unsettled })
    }

    async fn line_moved(&self) {
        self.moved.notified().await;
    }
}

struct Consumer {
    line: Arc<Line>,
    /// One permit per delivery that may be unsettled.
    slots: Arc<Semaphore>,
    broker: MemoryBroker,
}

#[async_trait]
impl Deliveries for Consumer {
    async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            // Registered before looking, so that no arrival is missed.
            let arrived = self.line.arrived.notified();
            if let Some(queued) = take(&self.line) {
                self.broker.moved.notify_one();
                return Some(Ok(self.delivery(queued, slot)));
            }
            arrived.await;
        }
    }
}

fn take(line: &Line) -> Option<Queued> {
    let mut queue = lock(&line.queue);
    let queued = queue.ready.pop_front()?;
    queue.unsettled += 1;
    // A consumer that was woken may have been dropped with its wake-up: hand it on.
    if !queue.ready.is_empty() {
        line.arrived.notify_one();
    }
    Some(queued)
}

impl Consumer {
    fn delivery(&self, queued: Queued, slot: OwnedSemaphorePermit) -> Delivery {
        let body = queued.body.clone();
        let redelivered = queued.deliveries > 0;
        let settling = Unsettled {
            queued: Some(queued),
            line: Arc::clone(&self.line),
            broker: self.broker.clone(),
            _slot: slot,
        };
        Delivery::new(body, redelivered, Box::new(settling))
    }
}

/// A delivery that was handed over. Dropped, it goes back to the front of its line.
struct Unsettled {
    queued: Option<Queued>,
    line: Arc<Line>,
    broker: MemoryBroker,
    _slot: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for Unsettled {
    async fn settle(mut self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        let queued = self.queued.take().expect("settled once, by value");
        lock(&self.line.queue).unsettled -= 1;
        if let Settlement::Reject { reason } = how {
            lock(&self.broker.dead).push(DeadLetter { body: queued.body, reason });
        }
        self.broker.moved.notify_one();
        Ok(())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let Some(mut queued) = self.queued.take() else { return };
        queued.deliveries += 1;
        let mut queue = lock(&self.line.queue);
        queue.unsettled -= 1;
        if queued.deliveries >= DELIVERY_LIMIT {
            let reason = format!("delivered {DELIVERY_LIMIT} times and never settled");
            lock(&self.broker.dead).push(DeadLetter { body: queued.body, reason });
            return;
        }
        queue.ready.push_front(queued);
        self.line.arrived.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
