//! The suites of the ports.

use fleetline_shared::ports::Leases;
use fleetline_shared::redis::RedisLeases;
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::leases::LeasesFixture;

use super::redis;

struct OnRedis(RedisLeases);

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
        OnRedis(RedisLeases::new(redis()))
    );
}
