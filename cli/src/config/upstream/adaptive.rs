//! `[upstreams.NAME.adaptive]`

use fleetline_shared::ports::AdaptiveOptions;
use serde::Deserialize;

use crate::config::numbers;

/// Bounds within which the number of calls at the same time follows their latency.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// Never fewer; it starts here.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 100_000, _>")]
    pub min: u32,
    /// Never more; `None`: nothing is adapted.
    #[serde(deserialize_with = "numbers::none_or_whole::<_, 1, 100_000, _>")]
    pub max: Option<u32>,
}

impl Adaptive {
    /// As the quotas take them.
    pub fn options(&self) -> Option<AdaptiveOptions> {
        self.max.map(|max| AdaptiveOptions { min: self.min, max })
    }
}
