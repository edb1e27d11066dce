//! One integration crate: what several parts promise together.

mod fingerprints;
