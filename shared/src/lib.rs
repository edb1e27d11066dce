//! Fleetline's common ground: the words, the rules, the ports, and the adapters behind them.
//!
//! - [`domain`]: what is handed around: runs, jobs, kinds, envelopes, outcomes. No I/O.
//! - [`rules`]: pure functions: outcome to decision, back-off, dedup keys.
//! - [`ports`]: the four small traits the engine stands on: ledger, broker, leases, quotas.
//! - [`embedded`]: adapters for one process: `SQLite`, channels, maps.
//! - [`postgres`]: the ledger of a fleet.
//! - [`rabbitmq`]: the broker of a fleet.
//! - [`redis`]: adapters for a fleet: leases and quotas on a Redis server.
//! - [`share`]: what a process does with quotas and leases while Redis is out of reach.
//! - [`tls`]: whom connections trust, and why one was refused.
//! - [`failing`]: what is tried again and again, and told of when that changes.
//! - [`batcher`]: requests that gather while one call is in flight.
//!
//! `domain` and `rules` import no adapter.

pub mod batcher;
mod closings;
pub mod domain;
pub mod embedded;
pub mod failing;
pub mod kill_point;
pub mod metrics;
pub mod ports;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
pub mod rules;
pub mod share;
pub mod tls;
