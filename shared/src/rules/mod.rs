//! Pure rules: no clock, no randomness, no I/O of their own.

mod backoff;
mod breaker;
mod canonical;
mod decide;
mod dedup;
mod fair;
mod left;
mod old_result;
mod quota;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerStanding, BreakerTerms, Passage};
pub use canonical::canonical_json;
pub use decide::{Standing, decide};
pub use dedup::dedup_key;
pub use fair::{Claim, Turns, take_turns};
pub use left::notes_of_left;
pub use old_result::old_result;
pub use quota::{
    FoundTerms, LEAST_LATENESS, METERED, Pacing, Part, QuotaClosing, QuotaStanding, QuotaState, Slot,
    SlotAsk, adaptive_bounds, dollars, micros, pause_after, too_large, why,
};
