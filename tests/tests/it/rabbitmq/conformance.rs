//! The port's suite.

use std::sync::Arc;

use async_trait::async_trait;
use fleetline_shared::ports::Broker;
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::broker::BrokerFixture;

use super::world::{DELIVERY_LIMIT, World, line};

#[async_trait]
impl BrokerFixture for World {
    fn pace(&self) -> Pace {
        Pace::REAL
    }

    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    fn line(&self, number: u32) -> String {
        line(number)
    }

    fn delivery_limit(&self) -> u32 {
        DELIVERY_LIMIT
    }

    async fn dead_letters(&self) -> Vec<(Vec<u8>, String)> {
        World::dead_letters(self).await
    }
}

fleetline_tests::broker_conformance!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    World::new().await
);
