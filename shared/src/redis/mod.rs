//! Adapters on a Redis server, for a fleet of processes.
//!
//! - [`connection`]: one connection of a process, made when first needed and again when lost.
//! - [`leases`]: leases as keys that expire, three short scripts.
//! - [`quotas`]: the arithmetic of [`crate::rules::QuotaState`] as one script.
//!
//! Scripts are `.lua` files beside the code that calls them. Each touches the keys of one hash
//! slot only. See `docs/redis.md` for the keys, the rights they need, and what a loss of state
//! means.

pub mod connection;
mod examine;
pub mod leases;
mod options;
pub mod quotas;
mod script;

pub use connection::{Redis, is_prefix};
pub use leases::RedisLeases;
pub use options::RedisOptions;
pub use quotas::{QuotaOptions, RedisQuotas};
