//! Quotas keep the whole fleet within what each upstream allows, over any sliding window.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{AdaptiveOptions, BreakerOptions, BreakerReport};
use crate::domain::{Dimension, Feedback, PortError, Spend, Verdict};

/// The longest [`Ask::hold`] that any process of a fleet may have, whatever its settings are: a delivery must
/// not be held for much longer than a second.
pub const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// So much per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in any window.
    pub amount: u64,
    /// Length of the window.
    pub window: Duration,
}

/// Limits of one upstream. `None`: unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls.
    pub requests: Option<Rate>,
    /// Tokens of requests.
    pub input_tokens: Option<Rate>,
    /// Tokens of answers.
    pub output_tokens: Option<Rate>,
    /// Tokens of requests and answers together.
    pub tokens: Option<Rate>,
    /// Money, in millionths of the currency. A cap, not a pace: all of it may be spent in the
    /// first hour of a day. Only while it is unknown what was spent before (a fleet's first
    /// start, a loss of state), it is paced evenly over one window.
    pub budget: Option<Rate>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// What each tenant may use of it.
    pub per_tenant: Option<Rates>,
    /// What may be used of it with a model, by the model's name.
    pub per_model: BTreeMap<String, Rates>,
    /// When it is left alone because it fails; `None`: never.
    pub breaker: Option<BreakerOptions>,
    /// Finds the limits of calls and tokens that are not given here: from what answers state of
    /// them, and calls also from 429s alone.
    pub discover: bool,
    /// Finds how many calls at the same time are good, at most `concurrency`; `None`: that many.
    pub adaptive: Option<AdaptiveOptions>,
    /// That there is no limit is meant, and lifts those that others gave.
    pub lifted: bool,
}

impl Limits {
    /// Whether others are left to say what the limits are: none is given, and none is lifted. A breaker
    /// is no limit.
    pub fn are_open(&self) -> bool {
        Self { breaker: None, ..self.clone() } == Self::default()
    }

    /// Whether calls at the same time are limited, by people or by what is found.
    pub fn has_places(&self) -> bool {
        self.concurrency.is_some() || self.adaptive.is_some()
    }

    /// What is limited per window.
    pub fn rates(&self) -> Rates {
        let Self { requests, input_tokens, output_tokens, tokens, budget, .. } = *self;
        Rates { requests, input_tokens, output_tokens, tokens, budget }
    }
}

/// Limits per window. `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Calls.
    pub requests: Option<Rate>,
    /// Tokens of requests.
    pub input_tokens: Option<Rate>,
    /// Tokens of answers.
    pub output_tokens: Option<Rate>,
    /// Tokens of requests and answers together.
    pub tokens: Option<Rate>,
    /// Money, in millionths of the currency: see [`Limits::budget`].
    pub budget: Option<Rate>,
}

impl Rates {
    /// The limit of one dimension; of concurrency none.
    pub fn get(&self, dimension: Dimension) -> Option<Rate> {
        match dimension {
            Dimension::Requests => self.requests,
            Dimension::InputTokens => self.input_tokens,
            Dimension::OutputTokens => self.output_tokens,
            Dimension::Tokens => self.tokens,
            Dimension::Money => self.budget,
            Dimension::Concurrency => None,
        }
    }
}

/// A request to make one call.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The upstream.
    pub upstream: String,
    /// For whom.
    pub tenant: String,
    /// With which of the upstream's models.
    pub model: Option<String>,
    /// Of asks that come at the same time, or wait for a place together, those with higher ones go
    /// first; equal ones in the order of asking. A slot once given is never taken away.
    pub priority: i16,
    /// What it will probably use.
    pub spend: Spend,
    /// The longest wait the caller will sleep through while it holds its delivery.
    pub hold: Duration,
    /// The slot is to be so much ahead at least. Zero, unless an answer came after its slot before: then
    /// as long as the next one may take.
    pub lead: Duration,
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
    /// What was set aside, beside the call itself.
    pub spend: Spend,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEnd {
    /// What it used; `None`: unknown, the estimate stands.
    pub used: Option<Spend>,
    /// What it says about the upstream's health.
    pub verdict: Verdict,
    /// How long it took, if it was made.
    pub took: Option<Duration>,
    /// What the answer said about the quota.
    pub feedback: Feedback,
}

impl CallEnd {
    /// The end of a call that tells nothing of its upstream.
    pub fn unknown(used: Option<Spend>) -> Self {
        Self { used, verdict: Verdict::Unknown, took: None, feedback: Feedback::default() }
    }
}

/// When a call may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTime {
    /// Not before. It may have passed.
    pub begins: Instant,
    /// Not after: it would be one too many in a window. `None`: nothing is counted in windows.
    pub ends: Option<Instant>,
}

impl SlotTime {
    /// How long it is until it begins.
    pub fn wait(&self) -> Duration {
        self.begins.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn is_missed(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() > ends)
    }
}

/// Answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Call in this slot, which begins within the hold, often at once. The quota is set aside.
    Go {
        /// Sleep until it begins.
        slot: SlotTime,
        /// What was set aside.
        reservation: Reservation,
        /// The call tries whether the upstream is well again; the whole fleet waits for its end.
        probe: bool,
    },
    /// Nothing was set aside; ask again after this wait.
    NotBefore {
        /// The earliest time at which asking makes sense.
        wait: Duration,
        /// What is missing.
        lack: Lack,
        /// The same for people: `requests`, ``tokens within the limit of tenant `acme` ``, `concurrency`,
        /// `paused: 429`, `breaker: open`.
        why: String,
    },
}

/// How the wait for a slot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The slot has come: call now.
    Now,
    /// It has passed: the answer was too long on its way, or this machine too busy to wake its sleeper in
    /// time. Give the reservation back, and ask again, with a lead.
    Missed,
    /// The upstream closed meanwhile: give the reservation back.
    Closed {
        /// The earliest time at which asking makes sense.
        wait: Duration,
        /// What closed it: a pause or the breaker.
        lack: Lack,
        /// The same for people.
        why: String,
    },
}

/// What keeps a call from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Calls in the window.
    Requests,
    /// Tokens of requests in the window.
    InputTokens,
    /// Tokens of answers in the window.
    OutputTokens,
    /// Tokens in the window.
    Tokens,
    /// Money in the window.
    Money,
    /// Calls at the same time.
    Concurrency,
    /// A pause.
    Pause,
    /// The breaker is open, or half-open and its probe is under way.
    Breaker,
}

/// One upstream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamReport {
    /// Its name.
    pub upstream: String,
    /// Its limits in force: where limits are found, what was found until now.
    pub limits: Limits,
    /// Share of the limits of calls and tokens that is in use since the upstream last said 429, in
    /// per mille: 1000 is all.
    pub effective: u32,
    /// What was used in the windows until now, one entry for each dimension that is limited.
    pub used: Vec<DimensionUse>,
    /// Calls under way.
    pub in_flight: u32,
    /// Asks of this process that wait for an answer.
    pub waiting: u32,
    /// Time until a pause ends, and why it was called.
    pub paused: Option<(Duration, String)>,
    /// Time until rates, pause and breaker let the next call start, if it takes as much as the smaller
    /// of the last two, or of the first two that were refused while none had gone. Whether a place is free for it, `in_flight` tells.
    pub next_in: Duration,
    /// What that call is taken to use.
    pub next_spend: Spend,
    /// How its breaker stands, if it has one.
    pub breaker: Option<BreakerReport>,
    /// The fleet's quota is out of reach: the limits are those of all processes' shares together, and
    /// nothing is known of what they use.
    pub apart: bool,
}

/// What was used of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionUse {
    /// What is counted.
    pub dimension: Dimension,
    /// Used by the fleet in the window until now, with what is set aside.
    pub used: u64,
    /// Used by others, as far as the upstream let us know; of money also what may have been spent before
    /// a state that knows nothing of it began.
    pub others: u64,
    /// The limit.
    pub limit: u64,
}

/// Gives out the upstreams' quotas.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// Sets quota aside in all dimensions, or in none, in the order of asking. An upstream
    /// without configured limits admits at once. If all places of `concurrency` are taken, waits
    /// for one, the hold at most. A call larger than a whole limit is [`PortError::Invalid`].
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError>;

    /// Sleeps until the slot of an [`Admission::Go`], and wakes sooner if the upstream closes after the
    /// reservation was made: a pause begins or gets longer, the breaker opens. Whoever cannot hear of
    /// that, because a server is out of reach, sleeps on.
    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn;

    /// Ends a reservation whose call was not made and will not be: all of it is free again, the call
    /// itself included. It is no overrun to lose this: what was set aside then stays used.
    fn give_back(&self, reservation: Reservation);

    /// Ends a call: frees its place, and corrects what was set aside to what was used. What was
    /// used beyond the estimate delays later calls. [`Verdict::RateLimited`] pauses the upstream
    /// for as long as the answer said (5 s if it said nothing, an hour at most), and lowers its
    /// effective rate, which recovers by itself; calls that were admitted before such a pause do
    /// not call another one. The breaker hears of every verdict; a 429 is no failure to it.
    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError>;

    /// Waits until all is told that was given back and settled before, for as long as that takes: a process
    /// that ends leaves untold what waits for others to go with.
    async fn flush(&self);

    /// Gives nobody a start within this time. A longer pause wins over a shorter one. Whoever still
    /// sleeps for its slot is told, see [`Quotas::turn`].
    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError>;

    /// All upstreams that were configured or asked for, by name.
    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError>;
}
