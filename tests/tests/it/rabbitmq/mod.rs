//! The `RabbitMQ` adapter against a real broker.

mod conformance;
mod consuming;
mod faults;
mod intake;
mod lost_connection;
mod publishing;
mod rates;
mod topology;
mod world;
