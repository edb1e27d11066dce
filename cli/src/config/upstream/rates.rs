//! Limits per window, of a tenant or of a model.

use fleetline_shared::ports::{Rate, Rates};
use serde::Deserialize;

use super::money;
use crate::config::text;

/// `per_tenant`, `per_model.NAME`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// Calls.
    #[serde(deserialize_with = "text::optional_rate")]
    pub requests: Option<Rate>,
    /// Tokens of requests.
    #[serde(deserialize_with = "text::optional_rate")]
    pub input_tokens: Option<Rate>,
    /// Tokens of answers.
    #[serde(deserialize_with = "text::optional_rate")]
    pub output_tokens: Option<Rate>,
    /// Tokens of requests and answers together.
    #[serde(deserialize_with = "text::optional_rate")]
    pub tokens: Option<Rate>,
    /// Money, in millionths of a dollar.
    #[serde(deserialize_with = "money::optional_budget")]
    pub budget: Option<Rate>,
}

impl RateLimits {
    /// As the quotas take them; `None`: nothing is limited.
    pub fn rates(&self) -> Option<Rates> {
        let Self { requests, input_tokens, output_tokens, tokens, budget } = *self;
        let rates = Rates { requests, input_tokens, output_tokens, tokens, budget };
        (rates != Rates::default()).then_some(rates)
    }
}
