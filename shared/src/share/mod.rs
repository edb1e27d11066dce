//! A static share of an upstream's quota for each process, while the fleet's quota is out of reach.
//!
//! - [`reach`]: whether the fleet's quota can be reached, and what that means for calls.
//! - [`limits`]: the share: every limit divided by the number of processes.
//! - [`quotas`]: [`StaticShare`], the quotas that switch between both.
//! - [`kept`]: what the fleet's quota must be told when it is back.
//! - [`leases`]: leases that do without the fleet's.
//!
//! Why no window is over the limit when it switches, in either direction:
//!
//! - Nobody uses its share before all processes have noticed that the quota is out of reach
//!   ([`reach::OUT_AFTER`]), and nobody uses the quota before all have stopped to use their shares
//!   ([`reach::SETTLING`]). Both hold if it is out of reach for all processes or for none.
//! - The shares together are the limit, so no window within one side is over it.
//! - Each side begins as a state that knows nothing of the last window: with an empty bucket, at the
//!   pace, and only when what the other side can have used in a burst could have been refilled.
//!   `rules/quota/resume.rs` has the arithmetic.

pub mod kept;
pub mod leases;
pub mod limits;
pub mod quotas;
pub mod reach;
#[cfg(test)]
mod tests;
mod watch;

pub use leases::ShareLeases;
pub use limits::{Indivisible, share_of};
pub use quotas::StaticShare;
pub use reach::{Reach, Standing};
