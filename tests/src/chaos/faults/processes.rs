//! Processes are killed, stopped, drained, started.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::fault;
use crate::chaos::fleet::{CONCURRENCY, Fleet};
use crate::chaos::scenario::{Extent, Fault};

/// All of this file.
pub const ALL: [Fault; 7] = [
    fault!("kill -9 of workers at random", kill_workers),
    fault!("kill -9 of serve at random", kill_serve),
    fault!("a worker is stopped past lease and sweep", stop_worker),
    fault!("a worker is stopped past the consumer timeout", stop_worker_for_long, needs_own_servers, is_long),
    fault!("serve is stopped past the claims of the outbox", stop_serve, is_long),
    fault!("workers 1 -> 8 -> 1 under load", scale),
    fault!("two serves, one is drained", drain_serve),
];

async fn kill_workers(fleet: &mut Fleet, extent: &mut Extent) {
    for _ in 0..extent.pick(3, 10) {
        fleet.more_calls(extent.random.usize(1..20)).await;
        let place = extent.random.usize(..fleet.workers.len());
        fleet.kill_worker(place);
        fleet.add_worker(&[]);
    }
}

/// Costs no call: what it had handed out is on the lines or is swept.
async fn kill_serve(fleet: &mut Fleet, extent: &mut Extent) {
    for _ in 0..extent.pick(2, 6) {
        fleet.more_calls(extent.random.usize(1..20)).await;
        fleet.serves.remove(0).kill();
        fleet.add_serve(&[]).await;
    }
}

async fn stop_worker(fleet: &mut Fleet, extent: &mut Extent) {
    // The sweep is at 8 s, and looks twice a second.
    stopped_for(fleet, Duration::from_secs(extent.pick(10, 15))).await;
}

async fn stop_worker_for_long(fleet: &mut Fleet, _: &mut Extent) {
    // The consumer timeout of these tests is a minute, and looked at once a minute.
    stopped_for(fleet, Duration::from_secs(130)).await;
}

async fn stopped_for(fleet: &mut Fleet, pause: Duration) {
    fleet.more_calls(4).await;
    let from = Instant::now();
    fleet.workers[0].signal(Signal::STOP);
    sleep(pause).await;
    fleet.workers[0].signal(Signal::CONT);
    // It learns only now that its jobs are others': it may start one more call each before.
    fleet.more_finished(10).await;
    fleet.disturbed("a worker was stopped", from, 2 * CONCURRENCY);
}

async fn stop_serve(fleet: &mut Fleet, _: &mut Extent) {
    fleet.serves[0].signal(Signal::STOP);
    sleep(Duration::from_secs(40)).await;
    fleet.serves[0].signal(Signal::CONT);
}

/// Costs no call: a drained worker finishes what it has begun.
async fn scale(fleet: &mut Fleet, _: &mut Extent) {
    let before = fleet.workers.len();
    while fleet.workers.len() < 8 {
        fleet.add_worker(&[]);
    }
    fleet.more_finished(60).await;
    while fleet.workers.len() > 1 {
        fleet.drain_worker(0).await;
    }
    fleet.more_finished(10).await;
    while fleet.workers.len() < before {
        fleet.add_worker(&[]);
    }
}

async fn drain_serve(fleet: &mut Fleet, _: &mut Extent) {
    fleet.add_serve(&[]).await;
    fleet.more_finished(20).await;
    let mut first = fleet.serves.remove(0);
    first.signal(Signal::TERM);
    first.ended_well().await;
}
