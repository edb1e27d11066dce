//! Adapters for one process, no servers: a file and memory.

mod sqlite;

pub use sqlite::SqliteLedger;
