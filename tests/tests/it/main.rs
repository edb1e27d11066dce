//! One integration crate: what several parts promise together.

mod conformance;
mod fingerprints;
