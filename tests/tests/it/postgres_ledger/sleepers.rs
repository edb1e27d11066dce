//! Jobs that were put back for later, when they are due.

use std::sync::Arc;

use fleetline_shared::domain::{NewJob, RunId};
use fleetline_shared::ports::Scope;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    HOUR, TENANT, add, ask, finish_of, jobs, open, seq_of, snooze, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};

/// More than are woken in one statement.
const MANY: u64 = 1_200;

/// A run of many jobs, the last of which is urgent, and one of a single job; all became due while nobody looked,
/// the last ones last.
async fn slept(database: &Database, ledger: &Subject) -> (RunId, RunId) {
    let (long, short) = (open(ledger, TENANT).await, open(ledger, TENANT).await);
    let urgent = |job: NewJob| NewJob { priority: i16::from(job.seq == Some(MANY)), ..job };
    add(ledger, long, jobs("long", 1, MANY).into_iter().map(urgent).collect()).await;
    add(ledger, short, jobs("short", 1, 1)).await;
    let taken = take(ledger, 2_000).await;
    assert_eq!(taken.len() as u64, MANY + 1);
    let group = taken.iter().map(|envelope| finish_of(envelope, snooze(HOUR))).collect();
    ledger.finish(group).await.unwrap();
    assert!(take(ledger, 1).await.is_empty());
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let time_passes = "UPDATE queue SET run_at = now() - interval '1 minute' + n * interval '1 us'";
    sqlx::raw_sql(time_passes).execute(&mut connection).await.unwrap();
    (long, short)
}

#[tokio::test]
async fn all_that_are_due_have_their_turns() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (long, short) = slept(&database, &ledger).await;
    let mut taken = take(&ledger, 2).await;
    taken.sort_by_key(|envelope| envelope.run_id != long);
    assert_eq!(taken.iter().map(|envelope| envelope.run_id).collect::<Vec<_>>(), [long, short]);
    assert_eq!(seq_of(&taken[0]), MANY, "the urgent one is its run's first");
    assert_eq!(take(&ledger, 2_000).await.len() as u64, MANY - 1);
}

#[tokio::test]
async fn a_dispatch_of_one_run_wakes_its_own() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (long, short) = slept(&database, &ledger).await;
    let taken = ledger.dispatch(ask(Scope::Run(long), 1)).await.unwrap();
    assert_eq!(seq_of(&taken[0]), MANY, "the urgent one is first");
    let taken = ledger.dispatch(ask(Scope::Run(short), 10)).await.unwrap();
    assert_eq!(taken.iter().map(|envelope| envelope.run_id).collect::<Vec<_>>(), [short]);
}
