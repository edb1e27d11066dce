//! Hundreds of jobs have ended while several waited for each, and whoever ended them did not serve all of these.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{PortError, RunId};
use fleetline_shared::ports::{CancelJobs, CancelLedger, DispatchLedger, Scope};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{HOUR, TENANT, check_counters, job, run_of};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};

use super::shares::{age, do_and_die, is_waited, sweep, unshared};
use crate::cli::harness::Place;

/// More than a sweep takes at a time.
const KEYS: u64 = 250;
/// One more than the step that ends them serves of each.
const WAITING: u64 = 2_000 / KEYS + 1;

/// A run of all keys, and another whose jobs wait for it.
async fn crowds(ledger: &Subject) -> RunId {
    let key = |n: u64| format!("key {}", n % KEYS);
    let first = run_of(ledger, (1..=KEYS).map(|seq| job(seq, &key(seq))).collect()).await;
    run_of(ledger, (1..=KEYS * WAITING).map(|seq| job(seq, &key(seq))).collect()).await;
    first
}

/// Crowds whose first run somebody cancelled, who died then.
async fn left_crowds(database: &Database, ledger: &Subject, looking: &mut PgConnection) {
    let run = crowds(ledger).await;
    let cancel = async move |ledger: &PostgresLedger| {
        ledger.cancel(TENANT, CancelJobs::Run(run)).await.unwrap();
    };
    do_and_die(database, KEYS.cast_signed(), cancel).await;
    age(looking).await;
    assert_eq!(left(looking).await, KEYS.cast_signed());
}

async fn left(looking: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM unshared").fetch_one(looking).await.unwrap()
}

/// Each waits for the oldest of its key.
async fn all_have_heirs(ledger: &Subject, looking: &mut PgConnection) {
    let twins = "SELECT count(*) FROM queue q JOIN queue heir ON heir.n = q.twin AND heir.state = 0";
    let waiting: i64 = sqlx::query_scalar(twins).fetch_one(looking).await.unwrap();
    assert_eq!(waiting, (KEYS * (WAITING - 1)).cast_signed());
    check_counters(ledger).await;
}

/// Holds a job that waits for the one of them that has waited longest.
async fn hold_oldest(holding: &mut PgConnection) {
    let oldest =
        "UPDATE unshared SET at = at - interval '1 hour' WHERE twin = (SELECT min(twin) FROM unshared)";
    sqlx::raw_sql(oldest).execute(&mut *holding).await.unwrap();
    let hold = "BEGIN; SELECT 1 FROM queue WHERE twin = (SELECT min(twin) FROM unshared) FOR UPDATE";
    sqlx::raw_sql(hold).execute(holding).await.unwrap();
}

#[tokio::test]
async fn one_sweep_shares_all_that_was_left() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    left_crowds(&database, &ledger, &mut looking).await;
    sweep(&ledger).await;
    assert_eq!(left(&mut looking).await, 0);
    all_have_heirs(&ledger, &mut looking).await;
}

#[tokio::test]
async fn two_sweeps_take_different_ones() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    left_crowds(&database, &ledger, &mut looking).await;
    hold_oldest(&mut holding).await;
    let other = database.open().await;
    let waiting = tokio::spawn(async move { other.sweep(Scope::All, HOUR, 20).await });
    is_waited(&mut looking, true).await;
    sweep(&ledger).await;
    assert!(left(&mut looking).await <= 100, "what the other has not taken is done");
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(left(&mut looking).await, 0);
    all_have_heirs(&ledger, &mut looking).await;
}

#[tokio::test]
async fn one_that_cannot_be_shared_keeps_no_other() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    left_crowds(&database, &ledger, &mut looking).await;
    hold_oldest(&mut holding).await;
    let hasty = PostgresOptions { statement_timeout: Duration::from_secs(1), ..database.options() };
    let hasty = PostgresLedger::open(&hasty).await.unwrap();
    let error = hasty.sweep(Scope::All, HOUR, 20).await.unwrap_err();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error}");
    assert_eq!(left(&mut looking).await, 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    age(&mut looking).await;
    sweep(&ledger).await;
    unshared(&mut looking, 0).await;
    all_have_heirs(&ledger, &mut looking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_ends_when_all_have_their_places() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let run = crowds(&ledger).await;
    let place = Place::new().env("FLEETLINE_POSTGRES__URL", &database.url);
    place.run(&["cancel", "--fleet", &run.to_string()]).exits(0).prints(&["250 cancelled"]);
    assert_eq!(left(&mut looking).await, 0);
    all_have_heirs(&ledger, &mut looking).await;
}
