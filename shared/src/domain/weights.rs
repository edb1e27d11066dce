//! What tenants' shares of an upstream are.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The share of each tenant, as weights: one of 3 gets three times the tokens of one of 1, as long as
/// both have work. Clones are cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(Arc<BTreeMap<String, u32>>);

impl Weights {
    /// The tenant's weight; 1 where nothing is said.
    pub fn of(&self, tenant: &str) -> u32 {
        self.0.get(tenant).map_or(1, |weight| (*weight).max(1))
    }
}

impl FromIterator<(String, u32)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(weights: I) -> Self {
        Self(Arc::new(weights.into_iter().collect()))
    }
}
