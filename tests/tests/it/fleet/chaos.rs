//! Short forms of all faults.

use std::time::Duration;

use fleetline_tests::chaos::checker::Quota;
use fleetline_tests::chaos::faults::{broker, links, messages, points, postgres, processes, redis};
use fleetline_tests::chaos::fleet::Site;
use fleetline_tests::chaos::scenario::{Fault, Scenario};
use fleetline_tests::services::PrivateServers;

use super::{plays_well, survives};

/// An outcome waits while the ledger is away, or slow: a shorter age would call its job lost meanwhile, and
/// its call would be made again.
const PATIENT: [(&str, &str); 1] = [("FLEETLINE_DISPATCH__STALE_AFTER", "30s")];

/// Those that servers shared with other tests need not fear.
fn short(faults: &[Fault]) -> Vec<Fault> {
    faults.iter().filter(|fault| !fault.is_long).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_die_at_every_step() {
    survives(Site::Shared, &points::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_die_stop_and_scale() {
    survives(Site::Shared, &short(&processes::ALL)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_workers_break() {
    let scenario = Scenario { settings: &PATIENT, ..Scenario::of(&links::ALL[..3]) };
    plays_well(Site::Shared, &scenario).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_serve_break() {
    survives(Site::Shared, &links::ALL[3..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_again_and_kill() {
    survives(Site::Shared, &messages::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_die_and_lose_what_they_had() {
    let faults = [short(&broker::ALL), short(&postgres::ALL)].concat();
    let scenario = Scenario { settings: &PATIENT, ..Scenario::of(&faults) };
    plays_well(Site::Own(PrivateServers::start()), &scenario).await;
}

/// A call is counted when it comes, which may be so much later than it was sent.
const LATE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_whatever_redis_loses() {
    let faults = [short(&redis::ALL), vec![processes::ALL[0]]].concat();
    let scenario = Scenario {
        settings: &[("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "40/2s")],
        quota: Some(Quota { calls: 40, window: Duration::from_secs(2).checked_sub(LATE).unwrap() }),
        ..Scenario::of(&faults)
    };
    plays_well(Site::Own(PrivateServers::start()), &scenario).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_by_static_shares_while_redis_is_down() {
    let scenario = Scenario {
        settings: &[
            ("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "40/2s"),
            ("FLEETLINE_UPSTREAMS__OPENAI__FAIL", "static-share"),
            ("FLEETLINE_UPSTREAMS__OPENAI__REPLICAS", "2"),
        ],
        quota: Some(Quota { calls: 40, window: Duration::from_secs(2).checked_sub(LATE).unwrap() }),
        ..Scenario::of(&[redis::DOWN_WITH_SHARES, redis::DOWN_WITH_SHARES])
    };
    plays_well(Site::Own(PrivateServers::start()), &scenario).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_outlast_redis() {
    let scenario = Scenario {
        // Nothing is handed out again because it takes long.
        settings: &[("FLEETLINE_DISPATCH__STALE_AFTER", "1h")],
        latency: Duration::from_secs(4),
        waiting: 12,
        ..Scenario::of(&[links::REDIS_OUT_OF_REACH])
    };
    plays_well(Site::Shared, &scenario).await;
}
