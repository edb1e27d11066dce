//! A redrive of many jobs, beside others that submit the same.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::DeadReason;
use fleetline_shared::ports::{DeadJobs, JobRow, Page};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, check_counters, die, finish_of, jobs, new_run, rows, run_of, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Jobs of one chunk; there are two.
const CHUNK: usize = 1000;

/// All jobs of a run are dead. Answers their keys, in order of the jobs.
async fn all_dead(ledger: &Subject, connection: &mut PgConnection) -> Vec<Uuid> {
    run_of(ledger, jobs("a", 1, 2 * CHUNK as u64)).await;
    let keys = sqlx::query_scalar("SELECT key FROM queue ORDER BY n").fetch_all(connection).await.unwrap();
    let taken = take(ledger, 2 * CHUNK).await;
    let dead = taken.iter().map(|one| finish_of(one, die(DeadReason::Permanent))).collect();
    ledger.finish(dead).await.unwrap();
    keys
}

/// Holds keys as a submission does.
async fn claim(connection: &mut PgConnection, keys: &[Uuid]) {
    sqlx::query(
        "INSERT INTO dedup (key) SELECT key FROM unnest($1::uuid[]) k (key) ORDER BY key
         ON CONFLICT (key) DO UPDATE SET waiting = dedup.waiting",
    )
    .bind(keys)
    .execute(connection)
    .await
    .expect("nobody holds them");
}

/// Until somebody waits for a lock.
async fn somebody_waits(connection: &mut PgConnection) {
    let waits = async {
        while !sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap()
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), waits).await.expect("somebody waits in time");
}

/// A submission holds a key of the second chunk, and goes on to larger ones. All of these are free: who
/// waits for a key holds none that is larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_claims_all_its_keys_in_order() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut watcher = PgConnection::connect(&database.url).await.unwrap();
    let keys = all_dead(&ledger, &mut watcher).await;
    let held = *keys[CHUNK..].iter().min().unwrap();
    let larger: Vec<Uuid> = keys.iter().copied().filter(|key| *key > held).collect();
    assert!(larger.iter().any(|key| keys[..CHUNK].contains(key)));
    let mut submission = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SET LOCAL lock_timeout = '300ms'").execute(&mut submission).await.unwrap();
    claim(&mut submission, &[held]).await;

    let redrive = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            let into = new_run(TENANT);
            let id = into.id;
            (ledger.redrive(DeadJobs::All, into).await.unwrap(), id)
        }
    });
    somebody_waits(&mut watcher).await;
    claim(&mut submission, &larger).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut submission).await.unwrap();

    let (count, run) = redrive.await.unwrap();
    assert_eq!(count, 2 * CHUNK as u64);
    check_counters(&ledger).await;
    // Jobs have the order that they had.
    let old = ledger.runs(None, Page::first(10)).await.unwrap();
    let old = old.iter().find(|row| row.id != run).unwrap().id;
    let sources = |rows: Vec<JobRow>| rows.into_iter().map(|row| row.source);
    assert!(sources(rows(&ledger, run).await).eq(sources(rows(&ledger, old).await)));
}
