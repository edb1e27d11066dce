//! Numbers for dashboards and alerts, as Prometheus reads them. `docs/metrics.md` lists them.
//!
//! The parts know nothing of metrics: [`MeteredQuotas`], [`MeteredBroker`], [`MeteredFinishes`] and
//! [`MeteredDispatch`] stand between them and their ports and count what passes. [`FleetGauges`] asks
//! the fleet's servers when somebody looks. Labels are upstreams, kinds and words of ours: nothing
//! that grows with the jobs, tenants or processes.

mod broker;
mod dispatch;
mod finishes;
mod fleet;
mod labels;
mod quotas;
mod share;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use broker::MeteredBroker;
pub use dispatch::MeteredDispatch;
pub use finishes::MeteredFinishes;
pub use fleet::FleetGauges;
pub use quotas::MeteredQuotas;
pub use share::static_share;

/// What an answer with metrics says it is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process: made at its start, read for as long as it lives.
pub struct Metrics(Registry);

impl Metrics {
    /// None yet: each of the metered parts adds its own.
    pub fn new() -> Self {
        Self(Registry::with_prefix("fleetline"))
    }

    /// All of them as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0);
        text
    }

    fn add(&mut self, name: &str, help: &str, metric: impl prometheus_client::registry::Metric) {
        self.0.register(name, help, metric);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Of times from five milliseconds to eleven minutes, doubling.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 18))
}

/// Of counts from one to 512, doubling.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 10))
}
