//! Integration tests of all parts together, as one binary: linking is what costs.

mod cli;
mod conformance;
mod conformance_ledger;
mod crashes;
mod discovery;
mod fingerprints;
mod http;
mod openai;
mod pipelines;
mod sqlite_ledger;
