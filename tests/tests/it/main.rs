//! Integration tests of all parts together, as one binary: linking is what costs.

mod conformance;
mod conformance_ledger;
mod crashes;
mod discovery;
mod fingerprints;
mod openai;
mod sqlite_ledger;
