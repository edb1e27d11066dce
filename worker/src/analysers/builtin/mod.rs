//! Analysers that need no network: fixed rules, the same answer for the same args.
//!
//! [`analyse_node`] reads an XML subtree, [`analyse_log`] a log event. Both are pure functions.

mod log;
mod node;

pub use log::analyse_log;
pub use node::analyse_node;

/// Version of the rules. Raise it whenever an answer changes: it is part of the dedup key.
pub const VERSION: &str = "1";
