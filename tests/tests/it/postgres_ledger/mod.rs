//! The Postgres ledger: the suite of all ledgers, and what is its own.

mod conformance;
mod database;
mod throughput;
