//! The ledger's server dies, is away, ends sessions.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::fault;
use crate::chaos::fleet::Fleet;
use crate::chaos::scenario::{Extent, Fault};
use crate::services::Server::Postgres;

/// All of this file.
pub const ALL: [Fault; 4] = [
    fault!("Postgres: kill -9 and start", kill, needs_own_servers),
    fault!("Postgres: immediate shutdown and start", quit, needs_own_servers),
    fault!("Postgres: down for some time", down, needs_own_servers),
    fault!("Postgres: sessions are ended at random", end_sessions),
];

/// Costs no call: outcomes wait until they can be recorded.
async fn kill(fleet: &mut Fleet, extent: &mut Extent) {
    for _ in 0..extent.pick(1, 4) {
        fleet.more_calls(extent.random.usize(1..20)).await;
        fleet.site.own().kill(Postgres);
        come_back(fleet).await;
    }
}

async fn quit(fleet: &mut Fleet, extent: &mut Extent) {
    for _ in 0..extent.pick(1, 4) {
        fleet.more_calls(extent.random.usize(1..20)).await;
        fleet.site.own().signal(Postgres, "QUIT");
        fleet.site.own().kill(Postgres);
        come_back(fleet).await;
    }
}

async fn come_back(fleet: &mut Fleet) {
    fleet.site.own().start_again(Postgres);
    fleet.answers_again(Postgres);
    fleet.more_finished(5).await;
}

async fn down(fleet: &mut Fleet, extent: &mut Extent) {
    let from = Instant::now();
    fleet.site.own().kill(Postgres);
    sleep(Duration::from_secs(extent.pick(4, 60))).await;
    come_back(fleet).await;
    if extent.long {
        // Longer than these tests' sweep age: the sweeper may be there before the outcome.
        fleet.disturbed("Postgres was down", from, fleet.all_calls());
    }
}

/// Costs no call: a commit whose answer was lost is looked at before anything else.
async fn end_sessions(fleet: &mut Fleet, extent: &mut Extent) {
    const SQL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";
    let mut connection = PgConnection::connect(&fleet.urls().postgres).await.expect("Postgres answers");
    for _ in 0..extent.pick(15, 200) {
        sqlx::query(SQL).execute(&mut connection).await.expect("it does as told");
        sleep(Duration::from_millis(extent.random.u64(20..150))).await;
    }
}
