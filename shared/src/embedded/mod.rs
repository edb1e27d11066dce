//! Adapters for one process, no servers: a file and memory.

mod broker;
mod leases;
mod line;
mod quotas;
mod sqlite;
mod upstream;

pub use broker::{DeadLetter, MemoryBroker};
pub use leases::MemoryLeases;
pub use quotas::MemoryQuotas;
pub use sqlite::SqliteLedger;
