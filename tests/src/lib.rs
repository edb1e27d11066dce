//! What every adapter must pass, and helpers for whole-pipeline tests.

pub mod conformance;
