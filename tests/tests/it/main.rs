//! Integration tests of all parts together, as one binary: linking is what costs.

mod cli;
mod conformance;
mod conformance_ledger;
mod crashes;
mod discovery;
mod fingerprints;
mod openai;
mod pipelines;
mod postgres_ledger;
mod sqlite_ledger;
