//! Redis loses its state, its connections, its life.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::fault;
use crate::chaos::fleet::Fleet;
use crate::chaos::scenario::{Extent, Fault};
use crate::services::Server::Redis;

/// All of this file.
pub const ALL: [Fault; 4] = [
    fault!("Redis: FLUSHALL", flush, needs_own_servers),
    fault!("Redis: kill -9 and start", restart, needs_own_servers),
    fault!("Redis: stopped and continued", pause, needs_own_servers),
    fault!("Redis: down for some seconds", down, needs_own_servers),
];

/// For fleets whose upstream has static shares.
pub const DOWN_WITH_SHARES: Fault = fault!("Redis: down, calls go on by shares", without, needs_own_servers);

/// Costs no call: those under way are not broken off, and others are made meanwhile.
async fn without(fleet: &mut Fleet, extent: &mut Extent) {
    fleet.site.own().kill(Redis);
    fleet.more_calls(extent.pick(60, 600)).await;
    fleet.more_finished(20).await;
    fleet.site.own().start_again(Redis);
    fleet.answers_again(Redis);
}

/// Costs no call: living owners take their leases again.
async fn flush(fleet: &mut Fleet, extent: &mut Extent) {
    let client = redis::Client::open(fleet.urls().redis.as_str()).expect("a Redis URL");
    for _ in 0..extent.pick(3, 20) {
        fleet.more_calls(5).await;
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.expect("Redis answers");
    }
}

#[expect(clippy::unused_async, reason = "all faults have one shape")]
async fn restart(fleet: &mut Fleet, _: &mut Extent) {
    fleet.site.own().kill(Redis);
    fleet.site.own().start_again(Redis);
    fleet.answers_again(Redis);
}

async fn pause(fleet: &mut Fleet, extent: &mut Extent) {
    away(
        fleet,
        extent,
        |fleet| fleet.site.own().signal(Redis, "STOP"),
        |fleet| {
            fleet.site.own().signal(Redis, "CONT");
        },
    )
    .await;
}

async fn down(fleet: &mut Fleet, extent: &mut Extent) {
    away(fleet, extent, |fleet| fleet.site.own().kill(Redis), |fleet| fleet.site.own().start_again(Redis))
        .await;
}

/// Longer than leases live: calls under way may be given up.
async fn away(fleet: &mut Fleet, extent: &mut Extent, go: impl Fn(&Fleet), come: impl Fn(&Fleet)) {
    let from = Instant::now();
    go(fleet);
    sleep(Duration::from_secs(extent.pick(3, 20))).await;
    come(fleet);
    fleet.answers_again(Redis);
    fleet.disturbed("Redis was away", from, fleet.all_calls());
}
