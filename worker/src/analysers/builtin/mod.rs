//! Offline rules: free, deterministic, and the default where no model is configured.

mod log;
mod node;

pub use log::BuiltinLogs;
pub use node::BuiltinNodes;

/// Name of these analysers.
const NAME: &str = "builtin";
