//! Adapters for one process, no servers: a file and memory.

mod broker;
mod leases;
mod quotas;
mod sqlite;

pub use broker::{DeadLetter, MemoryBroker};
pub use leases::MemoryLeases;
pub use quotas::MemoryQuotas;
pub use sqlite::SqliteLedger;
