//! The broker hands work out. Losing it delays; it never decides.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::{JobId, PortError};

/// Hands messages from dispatchers to workers, one line per kind.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Puts messages on their lines. The answers are in the order of the messages.
    ///
    /// `Ok` means the broker has it and routed it. `Err` may be ambiguous.
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>>;

    /// Starts taking from a line, with at most `prefetch` deliveries unsettled.
    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError>;

    /// The same for a taker that waits for all its consumers of the line at once: none of them looks after what is
    /// pushed to another of them.
    async fn consume_as(
        &self,
        taker: &Taker,
        line: &str,
        prefetch: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        let _ = taker;
        self.consume(line, prefetch).await
    }

    /// How much a line holds.
    async fn depth(&self, line: &str) -> Result<Depth, PortError>;

    /// How often the broker has been reached anew: what it held before the last time it may have lost. Says the same for
    /// ever of a broker that loses nothing.
    fn contacts(&self) -> u64;

    /// How many consumers take from a line, of all processes.
    async fn consumers(&self, line: &str) -> Result<usize, PortError>;

    /// Resolves when a line may have become shorter since the last call. May resolve early; a
    /// broker that cannot tell never resolves, and the caller's slow poll does the work. For one
    /// caller in a process.
    async fn line_moved(&self);

    /// Resolves when the broker may have taken back what this process was handed since the last call, to hand
    /// it to others: a connection broke. One that takes nothing back never resolves. For one caller in a
    /// process.
    async fn took_back(&self);
}

/// Who takes deliveries. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Taker(Arc<()>);

impl PartialEq for Taker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Taker {}

/// A message of which it is not known that the broker has it.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct Unpublished {
    /// Why.
    pub error: PortError,
    /// The broker may have it all the same, and a worker may be at it.
    pub may_be_there: bool,
}

/// A message for a line.
#[derive(Clone, Debug)]
pub struct Message {
    /// Name of the line: the kind.
    pub line: String,
    /// The job, by which returned messages are told apart.
    pub id: JobId,
    /// The encoded envelope.
    pub body: Vec<u8>,
}

/// Messages on a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Not handed over yet.
    pub ready: usize,
    /// Handed over, not settled.
    pub unsettled: usize,
}

/// The deliveries of one consumer. Dropped, it takes nothing more, and what nobody has looked at
/// goes to others. What it handed out stays valid: no other consumer gets it while somebody has it,
/// and it can be settled as if the consumer were there.
#[async_trait]
pub trait Deliveries: Send {
    /// The next delivery. `None` or an error: this consumer is gone, start another. The future
    /// may be dropped and nothing is lost.
    async fn next(&mut self) -> Option<Result<Delivery, PortError>>;
}

/// One hand-over. Settled once, by value. Dropped unsettled, it is delivered again.
pub struct Delivery {
    /// The message's body.
    pub body: Vec<u8>,
    /// Whether the broker handed it over before.
    pub redelivered: bool,
    /// How often it took the message back, as far as it counts that: never less for a later delivery of
    /// the same message.
    pub returns: u32,
    settle: Box<dyn Settle>,
}

impl Delivery {
    /// A delivery whose settlement goes to `settle`, of a broker that does not count.
    pub fn new(body: Vec<u8>, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { body, redelivered, returns: 0, settle }
    }

    /// The same of one that does.
    #[must_use]
    pub fn with_returns(self, returns: u32) -> Self {
        Self { returns, ..self }
    }

    /// Done with it: the ledger has the outcome.
    pub async fn ack(self) -> Result<(), PortError> {
        self.settle.settle(Settlement::Ack).await
    }

    /// Nobody can work with it: to the dead letters, with the reason.
    pub async fn reject(self, reason: String) -> Result<(), PortError> {
        self.settle.settle(Settlement::Reject { reason, body: self.body }).await
    }
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done.
    Ack,
    /// To the dead letters.
    Reject {
        /// Why, for people.
        reason: String,
        /// The message's body.
        body: Vec<u8>,
    },
}

/// An adapter's half of a delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Settles. An error means the broker may deliver it again.
    async fn settle(self: Box<Self>, how: Settlement) -> Result<(), PortError>;
}
