//! Integration tests of all parts together, as one binary: linking is what costs.

mod cli;
mod conformance;
mod conformance_ledger;
mod crashes;
mod discovery;
mod fingerprints;
mod fleet;
mod openai;
mod pipelines;
mod rabbitmq;
mod redis;
mod sqlite_ledger;
