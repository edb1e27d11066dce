//! News from other processes.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{DispatchLedger, New, News};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, jobs, open, record, run_of, run_row, snooze, success, take, take_one,
};
use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::timeout;

use fleetline_tests::services::Database;

async fn woken(changes: &mut watch::Receiver<News>) {
    let limit = Duration::from_secs(30);
    timeout(limit, changes.changed()).await.expect("a change is heard of").expect("the ledger is there");
}

/// A ledger that listens, and its news from now on.
async fn listener(database: &Database) -> (Subject, watch::Receiver<News>) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let before = listening(&mut connection).await;
    let ledger = database.open().await;
    while listening(&mut connection).await == before {
        tokio::task::yield_now().await;
    }
    let changes = ledger.changes();
    (Arc::new(ledger), changes)
}

/// How many connections wait for news.
async fn listening(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn another_process_hears_of_new_work_and_of_ends() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (other, mut changes) = listener(&database).await;
    let run = run_of(&ledger, jobs("a", 1, 1)).await;
    woken(&mut changes).await;
    let mut envelope = take_one(&other).await;
    changes.mark_unchanged();

    record(&ledger, &envelope, snooze(Duration::from_millis(1))).await;
    woken(&mut changes).await;
    envelope = loop {
        if let Some(envelope) = take(&other, 1).await.pop() {
            break envelope;
        }
    };
    changes.mark_unchanged();
    record(&ledger, &envelope, success("done")).await;
    while run_row(&other, run).await.finished_at_ms.is_none() {
        woken(&mut changes).await;
    }
}

/// What was said meanwhile is not lost either: it raises when it listens again.
#[tokio::test]
async fn a_broken_listener_listens_again() {
    let database = Database::new().await;
    let (ledger, mut changes) = listener(&database).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    woken(&mut changes).await;
    let other = PostgresLedger::open(&PostgresOptions { listen: false, ..database.options() }).await.unwrap();
    let other: Subject = Arc::new(other);
    let run = open(&other, TENANT).await;
    add(&other, run, jobs("a", 1, 1)).await;
    woken(&mut changes).await;
    take_one(&ledger).await;
}

/// A server that is not there, and a URL that is none.
#[tokio::test]
async fn what_cannot_be_reached_says_so_without_secrets() {
    let options = PostgresOptions::new("postgres://me:hunter2@127.0.0.1:1/ledger");
    let error = PostgresLedger::open(&options).await.err().expect("nobody listens on port 1");
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("check that it runs"), "{error}");
    assert!(!format!("{error:?}{options:?}").contains("hunter2"));
}

/// Dispatchers have nothing to do then.
#[tokio::test]
async fn the_end_of_a_run_is_told_apart() {
    let database = Database::new().await;
    // Who begins to listen believes that everything is new.
    let options = PostgresOptions { listen: false, ..database.options() };
    let ledger: Subject = Arc::new(PostgresLedger::open(&options).await.unwrap());
    let changes = ledger.changes();
    let since = |before: News| New::ALL.map(|new| changes.borrow().has(new, &before));
    let mut before = *changes.borrow();
    let run = run_of(&ledger, jobs("a", 1, 1)).await;
    assert_eq!(since(before), New::ALL.map(|new| new == New::Jobs));
    let envelope = take_one(&ledger).await;
    before = *changes.borrow();
    record(&ledger, &envelope, success("done")).await;
    assert!(run_row(&ledger, run).await.finished_at_ms.is_some());
    assert_eq!(since(before), New::ALL.map(|new| new == New::End));
}
