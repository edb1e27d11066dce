//! Every adapter, against its port's suite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas};
use fleetline_shared::ports::{Broker, Leases, Limits, Quotas};
use fleetline_shared::rules::Pacing;
use fleetline_shared::share::{Standing, StaticShare};
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::broker::BrokerFixture;
use fleetline_tests::conformance::leases::LeasesFixture;
use fleetline_tests::conformance::quotas::QuotasFixture;

/// An adapter in memory, and how its time goes by.
struct Memory<A> {
    adapter: Arc<A>,
    pace: Pace,
}

const DELIVERY_LIMIT: u32 = 3;

fn broker(pace: Pace) -> Memory<MemoryBroker> {
    Memory { adapter: Arc::new(MemoryBroker::with_delivery_limit(DELIVERY_LIMIT)), pace }
}

fn leases(pace: Pace) -> Memory<MemoryLeases> {
    Memory { adapter: Arc::new(MemoryLeases::new()), pace }
}

#[async_trait]
impl BrokerFixture for Memory<MemoryBroker> {
    fn pace(&self) -> Pace {
        self.pace
    }

    fn broker(&self) -> Arc<dyn Broker> {
        self.adapter.clone()
    }

    fn line(&self, number: u32) -> String {
        format!("line-{number}")
    }

    fn delivery_limit(&self) -> u32 {
        DELIVERY_LIMIT
    }

    async fn dead_letters(&self) -> Vec<(Vec<u8>, String)> {
        self.adapter.dead_letters().into_iter().map(|letter| (letter.body, letter.reason)).collect()
    }
}

impl LeasesFixture for Memory<MemoryLeases> {
    fn pace(&self) -> Pace {
        self.pace
    }

    fn leases(&self) -> &dyn Leases {
        &*self.adapter
    }
}

struct VirtualQuotas;

#[async_trait]
impl QuotasFixture for VirtualQuotas {
    fn pace(&self) -> Pace {
        Pace::VIRTUAL
    }

    async fn start(&self, limits: BTreeMap<String, Limits>) -> Arc<dyn Quotas> {
        Arc::new(MemoryQuotas::new(limits))
    }

    fn another(&self, quotas: &Arc<dyn Quotas>) -> Arc<dyn Quotas> {
        Arc::clone(quotas)
    }

    /// Tokio's clock wakes sleepers up to two milliseconds late.
    fn jitter(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn least_use(&self) -> f64 {
        0.99
    }
}

/// Quotas of a fleet with static shares, which are in reach all the time.
struct InReach;

#[async_trait]
impl QuotasFixture for InReach {
    fn pace(&self) -> Pace {
        Pace::VIRTUAL
    }

    async fn start(&self, limits: BTreeMap<String, Limits>) -> Arc<dyn Quotas> {
        // Limits that are found have no share.
        let divisible = limits.iter().filter(|(_, limits)| !limits.discover);
        let replicas = divisible.map(|(name, _)| (name.clone(), 1)).collect();
        let fleet = Arc::new(MemoryQuotas::new(limits.clone()));
        let shares = StaticShare::new(fleet, limits, &replicas, Pacing::default()).unwrap();
        shares.reach().changes().wait_for(|now| *now == Standing::Fleet).await.unwrap();
        Arc::new(shares)
    }

    fn another(&self, quotas: &Arc<dyn Quotas>) -> Arc<dyn Quotas> {
        Arc::clone(quotas)
    }

    fn jitter(&self) -> Duration {
        VirtualQuotas.jitter()
    }

    fn least_use(&self) -> f64 {
        VirtualQuotas.least_use()
    }
}

mod memory_broker {
    use super::*;
    fleetline_tests::broker_conformance!(
        #[tokio::test(start_paused = true)]
        broker(Pace::VIRTUAL)
    );
}

/// On several threads, where wake-ups can be lost, and in real time, as servers need it.
mod memory_broker_on_threads {
    use super::*;
    fleetline_tests::broker_conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        broker(Pace::REAL)
    );
}

mod memory_leases {
    use super::*;
    fleetline_tests::leases_conformance!(
        #[tokio::test(start_paused = true)]
        leases(Pace::VIRTUAL)
    );
}

mod memory_leases_in_real_time {
    use super::*;
    fleetline_tests::leases_conformance!(
        #[tokio::test]
        leases(Pace::REAL)
    );
}

mod memory_quotas {
    use super::*;
    fleetline_tests::quotas_conformance!(
        #[tokio::test(start_paused = true)]
        VirtualQuotas
    );
}

mod static_shares_in_reach {
    use super::*;
    fleetline_tests::quotas_conformance!(
        #[tokio::test(start_paused = true)]
        InReach
    );
}

/// Not every broker can tell that a line moved; this one can, and forgets nothing in between.
#[tokio::test(start_paused = true)]
async fn the_memory_broker_says_that_a_line_moved() {
    let fixture = broker(Pace::VIRTUAL);
    let (memory, pace, line) = (fixture.broker(), fixture.pace, fixture.line(0));
    let message = || fleetline_shared::ports::Message {
        line: line.clone(),
        id: fleetline_shared::domain::JobId::new(),
        body: Vec::new(),
    };
    memory.publish(vec![message(), message()]).await;
    pace.nothing(memory.line_moved(), "a line that grows has not moved").await;
    let mut consumer = memory.consume(&line, 2).await.unwrap();
    let first = consumer.next().await.unwrap().unwrap();
    pace.soon(memory.line_moved()).await;
    pace.nothing(memory.line_moved(), "nothing happened since").await;
    first.ack().await.unwrap();
    pace.soon(memory.line_moved()).await;
    let second = consumer.next().await.unwrap().unwrap();
    second.reject("no".into()).await.unwrap();
    pace.soon(memory.line_moved()).await;
}
