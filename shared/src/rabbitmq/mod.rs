//! Lines on `RabbitMQ`: quorum queues, publisher confirms, manual acknowledgements.
//!
//! - [`RabbitBroker`]: the port's adapter. It keeps two connections up, one to publish and one to
//!   consume, because an alarm of the broker blocks whoever publishes, acknowledgements included.
//! - [`Publisher`]: the same connection to publish events. [`IntakeConsumer`] and answers
//!   ([`RabbitBroker::answer`]) have connections of their own, for what others send may break them.
//! - [`topology`]: the exchanges, queues and policies; [`topology::apply`] and [`topology::check`].
//!
//! Every wait has an end. What was published and not confirmed may have arrived; what was delivered
//! and not acknowledged is delivered again.

mod acks;
mod answers;
mod broker;
mod consumer;
mod error;
mod flight;
mod held;
mod intake;
mod lane;
mod line;
mod link;
mod loan;
mod options;
mod outgoing;
mod publisher;
mod rejection;
mod settle;
mod supervisor;
mod tags;
pub mod topology;

pub use broker::RabbitBroker;
pub use intake::{IntakeConsumer, IntakeDelivery};
pub use options::{RabbitOptions, SecretUrl};
pub use outgoing::Outgoing;
pub use publisher::Publisher;
