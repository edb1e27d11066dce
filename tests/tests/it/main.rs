//! One integration crate: what several parts promise together.

mod conformance;
mod conformance_ledger;
mod discovery;
mod fingerprints;
mod sqlite_ledger;
