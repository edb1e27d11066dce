//! Fleetline's common ground: the words, the rules, the ports, and the adapters behind them.
//!
//! - [`domain`]: what is handed around: runs, jobs, kinds, envelopes, outcomes. No I/O.
//! - [`rules`]: pure functions: outcome to decision, back-off, dedup keys.
//! - [`ports`]: the four small traits the engine stands on: ledger, broker, leases, quotas.
//! - [`embedded`]: adapters for one process: `SQLite`, channels, maps.
//! - [`postgres`]: the ledger of a fleet.
//!
//! `domain` and `rules` import no adapter.

pub mod domain;
pub mod embedded;
pub mod kill_point;
pub mod ports;
pub mod postgres;
pub mod rules;
