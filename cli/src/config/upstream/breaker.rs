//! `[upstreams.NAME.breaker]`

use std::time::Duration;

use fleetline_shared::ports::{BreakerOptions, FailureRate};
use serde::Deserialize;

use crate::config::{numbers, text};

/// When an upstream counts as down, and for how long it is left alone.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures one after the other that open it.
    #[serde(deserialize_with = "numbers::none_or_whole::<_, 1, 100_000, _>")]
    pub failures: Option<u32>,
    /// Percent of the latest calls that open it.
    #[serde(deserialize_with = "numbers::none_or_whole::<_, 1, 100, _>")]
    pub percent: Option<u32>,
    /// Fewer calls make no percentage.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 100_000, _>")]
    pub of_at_least: u32,
    /// How far back calls count.
    #[serde(deserialize_with = "text::duration")]
    pub within: Duration,
    /// How long nobody calls.
    #[serde(rename = "for", deserialize_with = "text::duration")]
    pub open_for: Duration,
    /// The same after many probes that failed.
    #[serde(rename = "for_at_most", deserialize_with = "text::duration")]
    pub open_at_most: Duration,
    /// Percent by which these times are lengthened at random.
    #[serde(deserialize_with = "numbers::whole::<_, 0, 100, _>")]
    pub jitter: u32,
}

impl Breaker {
    /// As the quotas take it; `None`: nothing opens it.
    pub fn options(&self) -> Option<BreakerOptions> {
        let Self { failures, percent, of_at_least, within, open_for, open_at_most, jitter } = *self;
        if failures.is_none() && percent.is_none() {
            return None;
        }
        Some(BreakerOptions {
            failures: failures.unwrap_or(u32::MAX),
            rate: percent.map(|percent| FailureRate { percent, of_at_least, within }),
            open_for,
            open_at_most,
            jitter,
        })
    }
}
