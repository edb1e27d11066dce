//! Processes are killed with SIGKILL at each named step of a job's way.

use std::time::Instant;

use super::fault;
use crate::chaos::fleet::{CONCURRENCY, Fleet};
use crate::chaos::scenario::{Extent, Fault};

/// All of this file.
pub const ALL: [Fault; 3] = [
    fault!("kill -9 of a worker at each step", workers),
    fault!("kill -9 of serve at each step", serves),
    fault!("kill -9 of submit at each step", submits),
];

/// Steps of a worker.
const OF_WORKERS: [&str; 8] = [
    "delivery.taken",
    "lease.acquired",
    "quota.admitted",
    "call.sent",
    "call.returned",
    "finish.before_commit",
    "finish.after_commit",
    "delivery.acked",
];

async fn workers(fleet: &mut Fleet, extent: &mut Extent) {
    for point in OF_WORKERS {
        // The healthy ones are out of its way, so that it gets there.
        let from = Instant::now();
        let doomed = fleet.add_worker(&[("FLEETLINE_KILL_AT", &nth(point, extent))]);
        fleet.workers[doomed].killed_itself().await;
        fleet.worker_kills.push(Instant::now());
        fleet.workers.remove(doomed);
        fleet.disturbed(point, from, CONCURRENCY);
    }
}

/// Costs no call.
async fn serves(fleet: &mut Fleet, extent: &mut Extent) {
    for point in ["dispatch.after_commit", "dispatch.published"] {
        fleet.serves.remove(0).kill();
        let mut doomed = fleet.start_serve(&[("FLEETLINE_KILL_AT", &nth(point, extent))]);
        doomed.killed_itself().await;
        fleet.add_serve(&[]).await;
    }
}

/// Costs no call, and doubles no job.
async fn submits(fleet: &mut Fleet, _: &mut Extent) {
    for point in ["submit.before_commit", "submit.after_commit"] {
        let input = fleet.intake.next_input(20);
        fleet.intake.submit_killed_at(&input, point).await;
    }
}

fn nth(point: &str, extent: &mut Extent) -> String {
    format!("{point}:{}", extent.random.usize(1..=5))
}
