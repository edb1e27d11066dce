//! How many calls at a time an upstream takes well, found from how long they take.

/// Bounds of what is found. Within them the number follows the upstream: it grows while calls take
/// as long as they do when few are under way, and falls when they wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveOptions {
    /// Never fewer; at least 1. It starts here: choose what the upstream surely takes.
    pub min: u32,
    /// Never more, a million at most.
    pub max: u32,
}
