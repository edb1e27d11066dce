//! What the integration tests share.
//!
//! - [`conformance`]: what every adapter of a port must do.

pub mod conformance;
