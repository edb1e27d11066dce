//! `[upstreams.NAME]`: what an outside API allows, and what to do when it fails.

mod adaptive;
mod api;
mod breaker;
pub(super) mod check;
mod money;
mod rates;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fleetline_shared::ports::{Limits, Rate, Rates};
use fleetline_worker::Terms;
use secrecy::SecretString;
use serde::Deserialize;

pub use adaptive::Adaptive;
pub use api::{HeaderSource, Vendor};
pub use breaker::Breaker;
pub use money::Price;
pub use rates::RateLimits;

use super::{numbers, text};

/// `[upstreams.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
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
    /// Calls at the same time.
    #[serde(deserialize_with = "numbers::none_or_whole::<_, 1, 100_000, _>")]
    pub concurrency: Option<u32>,
    /// Money, in millionths of a dollar.
    #[serde(deserialize_with = "money::optional_budget")]
    pub budget: Option<Rate>,
    /// What calls with a model cost, by its name.
    pub prices: BTreeMap<String, Price>,
    /// What each tenant may use.
    pub per_tenant: RateLimits,
    /// What may be used with a model, by its name.
    pub per_model: BTreeMap<String, RateLimits>,
    /// Who says what the limits are.
    pub quota: Quota,
    /// How many calls at the same time are good.
    pub adaptive: Adaptive,
    /// Longest wait that a worker sleeps through.
    #[serde(deserialize_with = "text::hold")]
    pub hold: Duration,
    /// When it counts as down.
    pub breaker: Breaker,
    /// What becomes of jobs while it is down.
    pub on_open: OnOpen,
    /// What becomes of its calls while Redis cannot be reached.
    pub fail: Fail,
    /// How many worker processes run at most; `None`: not said.
    #[serde(deserialize_with = "numbers::none_or_whole::<_, 1, 100_000, _>")]
    pub replicas: Option<u32>,
    /// Where it is, without a slash at the end; `None` for the upstream of `[openai]` alone.
    #[serde(deserialize_with = "api::optional_base_url")]
    pub base_url: Option<String>,
    /// The value of `Authorization`.
    #[serde(deserialize_with = "api::optional_auth")]
    pub auth: Option<SecretString>,
    /// A file that holds it. At most one of the two is set.
    #[serde(deserialize_with = "text::optional_path")]
    pub auth_file: Option<PathBuf>,
    /// Further headers.
    pub headers: BTreeMap<String, HeaderSource>,
    /// How its answers tell of quota.
    pub vendor: Vendor,
    /// For one call.
    #[serde(deserialize_with = "text::duration")]
    pub timeout: Duration,
    /// For connecting.
    #[serde(deserialize_with = "text::duration")]
    pub connect_timeout: Duration,
    /// For silence inside a call.
    #[serde(deserialize_with = "text::optional_duration")]
    pub read_timeout: Option<Duration>,
    /// Connections that are kept open without a call.
    #[serde(deserialize_with = "numbers::whole::<_, 0, 100_000, _>")]
    pub idle_connections: usize,
    /// How long each is kept.
    #[serde(deserialize_with = "text::duration")]
    pub idle_timeout: Duration,
    /// Authorities of its certificate, beside the system's.
    #[serde(deserialize_with = "text::optional_path")]
    pub ca_file: Option<PathBuf>,
}

/// Who says what an upstream's limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quota {
    /// The settings.
    Configured,
    /// The settings, and of what they leave open the upstream's answers.
    Discover,
    /// Nobody: there are none, and those that other processes gave are lifted.
    Unlimited,
}

/// What becomes of an upstream's jobs while its breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOpen {
    /// They wait.
    Wait,
    /// The built-in rules do their work.
    Fallback,
    /// They get the last result of the same request, however old it is.
    Cached,
}

/// What becomes of an upstream's calls while Redis cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fail {
    /// None is made.
    Closed,
    /// Each worker goes on with its share of the limits.
    StaticShare,
}

impl Upstream {
    /// Among how many processes its limits are divided while Redis cannot be reached, if they are.
    pub fn share(&self) -> Option<u32> {
        self.replicas.filter(|_| self.fail == Fail::StaticShare)
    }

    /// The limits as the quotas take them.
    pub fn limits(&self) -> Limits {
        Limits {
            requests: self.requests,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            tokens: self.tokens,
            budget: self.budget,
            concurrency: self.concurrency,
            per_tenant: self.per_tenant.rates(),
            per_model: self.rates_per_model(),
            breaker: self.breaker.options(),
            discover: self.quota == Quota::Discover,
            adaptive: self.adaptive.options(),
            lifted: self.quota == Quota::Unlimited,
        }
    }

    /// What is settled about its calls.
    pub fn terms(&self) -> Terms {
        let price = |Price { input, output }| fleetline_worker::Price { input, output };
        Terms {
            on_open: match self.on_open {
                OnOpen::Wait => fleetline_worker::OnOpen::Wait,
                OnOpen::Fallback => fleetline_worker::OnOpen::Fallback,
                OnOpen::Cached => fleetline_worker::OnOpen::Cached,
            },
            fail: match self.fail {
                Fail::Closed => fleetline_worker::Fail::Closed,
                Fail::StaticShare => fleetline_worker::Fail::StaticShare,
            },
            prices: self.prices.iter().map(|(model, of)| (model.clone(), price(*of))).collect(),
        }
    }

    fn rates_per_model(&self) -> BTreeMap<String, Rates> {
        let models = self.per_model.iter();
        models.filter_map(|(model, limits)| Some((model.clone(), limits.rates()?))).collect()
    }
}
