//! The `RabbitMQ` adapter against a real broker.

mod conformance;
mod world;
