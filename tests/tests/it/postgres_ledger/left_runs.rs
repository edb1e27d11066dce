//! Runs that nobody reads any more, beside those that others still fill.

use std::sync::Arc;

use fleetline_shared::domain::{DeadReason, IfLeft, NewRun, RunState};
use fleetline_shared::ports::DeadJobs;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    HOUR, TENANT, add, check_counters, die, jobs, new_run, open, record, run_of, run_state, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};

/// All of it was hours ago.
const AGE: &str = "
    UPDATE runs SET created_at = created_at - interval '2 hours', read_at = read_at - interval '2 hours'";

async fn age(database: &Database) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::query(AGE).execute(&mut connection).await.unwrap();
}

/// Whoever goes on with it reads it from then on.
#[tokio::test]
async fn a_resumed_run_is_read_again() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let keyed = || NewRun { idempotency_key: Some("k".into()), ..new_run(TENANT) };
    let run = ledger.open_run(keyed()).await.unwrap().id;
    ledger.still_reading(run, IfLeft::Cancelled).await.unwrap();
    age(&database).await;
    assert!(ledger.open_run(keyed()).await.unwrap().resumed);
    assert_eq!(ledger.end_left(HOUR).await.unwrap(), 0);
    age(&database).await;
    assert_eq!(ledger.end_left(HOUR).await.unwrap(), 1);
    assert_eq!(run_state(&ledger, run).await, RunState::Finished);
    assert!(!ledger.open_run(keyed()).await.unwrap().resumed);
}

/// It says in its own way how far it is, and a sweep ends it in its own.
#[tokio::test]
async fn a_redrive_under_way_is_not_left() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    run_of(&ledger, jobs("a", 1, 1)).await;
    record(&ledger, &take(&ledger, 1).await[0], die(DeadReason::Permanent)).await;
    let into = new_run(TENANT);
    let run = into.id;
    ledger.redrive(DeadJobs::All, into).await.unwrap();
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let under_way = "UPDATE runs SET state = 0 WHERE n = (SELECT max(n) FROM runs);
        INSERT INTO redriving (run, done_to, last, jobs) SELECT max(n), 1, 1, 1 FROM runs";
    sqlx::raw_sql(under_way).execute(&mut connection).await.unwrap();
    age(&database).await;
    assert_eq!(ledger.end_left(HOUR).await.unwrap(), 0);
    assert_eq!(run_state(&ledger, run).await, RunState::Open);
}

/// More than one statement takes.
#[tokio::test]
async fn many_runs_that_were_left_are_all_ended() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    for _ in 0..105 {
        open(&ledger, TENANT).await;
    }
    let last = open(&ledger, TENANT).await;
    add(&ledger, last, jobs("a", 1, 2)).await;
    ledger.still_reading(last, IfLeft::Cancelled).await.unwrap();
    age(&database).await;
    let read = open(&ledger, TENANT).await;
    assert_eq!(ledger.end_left(HOUR).await.unwrap(), 106);
    assert_eq!(run_state(&ledger, last).await, RunState::Finished);
    assert_eq!(run_state(&ledger, read).await, RunState::Open);
    check_counters(&ledger).await;
}
