//! The suites of the ports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::ports::{Leases, Limits, Quotas};
use fleetline_shared::redis::{Redis, RedisLeases, RedisQuotas};
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::leases::LeasesFixture;
use fleetline_tests::conformance::quotas::QuotasFixture;
use fleetline_tests::services;

use super::{connect, redis};

pub(super) struct OnRedis(pub(super) RedisLeases);

impl LeasesFixture for OnRedis {
    fn pace(&self) -> Pace {
        Pace::REAL
    }

    fn leases(&self) -> &dyn Leases {
        &self.0
    }
}

mod leases {
    use super::*;
    fleetline_tests::leases_conformance!(
        #[tokio::test]
        OnRedis(RedisLeases::with_patience(redis(), Duration::ZERO))
    );
}

/// Each start has a prefix, and so a state, of its own: the one before is lost.
pub(super) struct Fleets {
    url: String,
    redis: Mutex<Option<Redis>>,
}

impl Fleets {
    /// On this server.
    pub(super) fn on(url: &str) -> Self {
        Self { url: url.to_owned(), redis: Mutex::default() }
    }
}

#[async_trait]
impl QuotasFixture for Fleets {
    fn pace(&self) -> Pace {
        Pace::REAL
    }

    async fn start(&self, limits: BTreeMap<String, Limits>) -> Arc<dyn Quotas> {
        let redis = connect(&self.url);
        *self.redis.lock().unwrap() = Some(redis.clone());
        Arc::new(RedisQuotas::new(redis, limits))
    }

    fn another(&self, _: &Arc<dyn Quotas>) -> Arc<dyn Quotas> {
        let redis = self.redis.lock().unwrap().clone().expect("one was started");
        Arc::new(RedisQuotas::new(redis, BTreeMap::new()))
    }

    /// Timers are rounded to milliseconds.
    fn jitter(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn least_use(&self) -> f64 {
        0.97
    }
}

mod quotas {
    use super::*;
    fleetline_tests::quotas_conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Fleets::on(&services::shared().redis)
    );
}
