//! A run is cancelled in several transactions: what becomes of it when nobody is left to go on.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{JobState, RunState};
use fleetline_shared::ports::{CancelJobs, Scope};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, check_counters, finish_of, jobs, retry, run_of, run_state, states, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

async fn is_begun(looking: &mut PgConnection) -> bool {
    sqlx::query_scalar("SELECT bool_or(cancelling) FROM runs").fetch_one(looking).await.unwrap()
}

#[tokio::test]
async fn a_sweep_goes_on_with_a_cancellation_that_was_left() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = run_of(&ledger, jobs("a", 1, 5)).await;
    let taken = take(&ledger, 1).await;
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let mut held = holding.begin().await.unwrap();
    sqlx::query("SELECT n FROM queue FOR UPDATE").execute(&mut *held).await.unwrap();
    let cancelling = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.cancel(TENANT, CancelJobs::Run(run)).await }
    });
    while !is_begun(&mut looking).await {
        sleep(Duration::from_millis(5)).await;
    }
    cancelling.abort();
    assert!(cancelling.await.unwrap_err().is_cancelled());
    held.rollback().await.unwrap();
    let sweep = || ledger.sweep(Scope::All, Duration::from_hours(1), 20);
    let unchanged =
        [JobState::Dispatched, JobState::Ready, JobState::Ready, JobState::Ready, JobState::Ready];
    sweep().await.unwrap();
    assert_eq!(states(&ledger, run).await, unchanged, "somebody may be at it");
    let age = "UPDATE runs SET cancelled_at = cancelled_at - interval '2 minutes'";
    sqlx::query(age).execute(&mut looking).await.unwrap();
    sweep().await.unwrap();
    assert_eq!(states(&ledger, run).await[1..], [JobState::Cancelled; 4]);
    assert!(!is_begun(&mut looking).await);
    ledger.finish(vec![finish_of(&taken[0], retry(Duration::ZERO))]).await.unwrap();
    assert_eq!(states(&ledger, run).await[0], JobState::Cancelled, "it ends with its attempt");
    assert_eq!(run_state(&ledger, run).await, RunState::Finished);
    check_counters(&ledger).await;
}
