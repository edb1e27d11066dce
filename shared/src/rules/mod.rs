//! Pure rules: no clock, no randomness, no I/O of their own.

mod backoff;
mod decide;
mod dedup;

pub use backoff::Backoff;
pub use decide::{Standing, decide};
pub use dedup::dedup_key;
