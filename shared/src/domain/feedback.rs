//! What an upstream lets us know about its quota and its health.

use std::time::Duration;

/// One thing that an upstream's quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Calls.
    Requests,
    /// Tokens of requests.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
    /// Tokens of requests and answers together.
    Tokens,
    /// Calls at the same time.
    Concurrency,
    /// Money, in millionths of the currency.
    Money,
}

impl Dimension {
    /// Its name, as metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
            Self::Money => "money",
        }
    }
}

/// What an answer says about the quota, in its headers or its body. Nothing said: nothing known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Ask again after this time, not before.
    pub retry_after: Option<Duration>,
    /// How the dimensions stand, one entry each.
    pub standings: Vec<DimensionStanding>,
}

impl Feedback {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.retry_after.is_none() && self.standings.is_empty()
    }
}

/// How one dimension stands, as its provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionStanding {
    /// What is counted.
    pub dimension: Dimension,
    /// Units in a window.
    pub limit: Option<u64>,
    /// Units that are left now.
    pub remaining: Option<u64>,
    /// Time until all of the limit is there again.
    pub reset: Option<Duration>,
    /// Length of the window, if it is known.
    pub window: Option<Duration>,
}

/// What the end of a call says about the upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, even if the answer was a refusal of this one job.
    Healthy,
    /// It failed: no connection, no answer in time, an error of the server's own.
    Failing,
    /// It said 429: its quota is used up. No failure.
    RateLimited,
    /// The call was not made, or ended by our own will: nothing is known.
    Unknown,
}

/// What one call uses of an upstream's quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Money, in millionths of the currency.
    pub money: u64,
}

impl Spend {
    /// Tokens of request and answer together.
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
