//! Short forms of all faults.

use fleetline_tests::chaos::faults::{broker, links, messages, points, postgres, processes, redis};
use fleetline_tests::chaos::fleet::Site;
use fleetline_tests::chaos::scenario::Fault;
use fleetline_tests::services::PrivateServers;

use super::survives;

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
    survives(Site::Shared, &links::ALL[..3]).await;
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
    let servers = Site::Own(PrivateServers::start());
    let faults = [short(&broker::ALL), short(&redis::ALL), short(&postgres::ALL)].concat();
    survives(servers, &faults).await;
}
