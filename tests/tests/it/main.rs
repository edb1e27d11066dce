//! One integration crate: what several parts promise together.

mod conformance;
mod conformance_ledger;
mod fingerprints;
mod openai;
mod sqlite_ledger;
