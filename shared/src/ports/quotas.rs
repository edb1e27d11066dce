//! Quotas keep the whole fleet within what each upstream allows, over any sliding window.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::PortError;

/// So much per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in any window.
    pub amount: u64,
    /// Length of the window.
    pub window: Duration,
}

/// Limits of one upstream. `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls.
    pub requests: Option<Rate>,
    /// Tokens of requests and answers together.
    pub tokens: Option<Rate>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
}

/// A request to make one call.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The upstream.
    pub upstream: String,
    /// Tokens it will probably use.
    pub tokens: u64,
    /// The longest wait the caller will sleep through while it holds its delivery.
    pub hold: Duration,
    /// So long after its start the call's place in `concurrency` is free again, even if nobody
    /// settles: somewhat more than the kind's timeout, for a later settlement changes nothing.
    pub slot_ttl: Duration,
}

/// Quota set aside for one call. Settle it, whatever came of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its number, unique for the upstream.
    pub id: u64,
    /// The upstream.
    pub upstream: String,
    /// Tokens set aside.
    pub tokens: u64,
}

/// Answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Call after this wait, which is at most the hold, often zero. The quota is set aside.
    Go {
        /// Sleep exactly this long first.
        after: Duration,
        /// What was set aside.
        reservation: Reservation,
    },
    /// Nothing was set aside; ask again after this wait.
    NotBefore {
        /// The earliest time at which asking makes sense.
        wait: Duration,
        /// What is missing, for people: `requests`, `tokens`, `concurrency`, `paused: 429`.
        why: String,
    },
}

/// One upstream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamReport {
    /// Its name.
    pub upstream: String,
    /// Its limits.
    pub limits: Limits,
    /// Calls under way.
    pub in_flight: u32,
    /// Time until a pause ends, and why it was called.
    pub paused: Option<(Duration, String)>,
    /// Time until rates and pause let the next small call start. Whether a place is free for it,
    /// `in_flight` tells.
    pub next_in: Duration,
}

/// Gives out the upstreams' quotas.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// Sets quota aside in all dimensions, or in none, in the order of asking. An upstream
    /// without configured limits admits at once. If all places of `concurrency` are taken, waits
    /// for one, the hold at most. A call larger than a whole limit is [`PortError::Invalid`].
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError>;

    /// Ends a call: frees its place, and corrects the tokens set aside to those used
    /// (`None`: unknown, the estimate stands). What was used beyond the estimate delays later
    /// calls.
    async fn settle(&self, reservation: Reservation, tokens_used: Option<u64>) -> Result<(), PortError>;

    /// Gives nobody a start within this time. A longer pause wins over a shorter one. Whoever
    /// was told to go before the pause, still goes.
    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError>;

    /// All upstreams that were configured or asked for, by name.
    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError>;
}
