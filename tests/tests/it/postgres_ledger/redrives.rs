//! A redrive of many jobs, beside others that submit the same.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, NewJob, NewRun, RunId, RunState};
use fleetline_shared::ports::{DeadJobs, JobRow, Page, RedriveLedger, Scope};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, check_counters, die, finish_of, jobs, new_run, raw, rows, run_of, run_row, run_state, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Jobs of one chunk; two make a round.
const CHUNK: usize = 1000;

/// All jobs of a run are dead. Answers their keys, in order of the jobs.
async fn all_dead(ledger: &Subject, connection: &mut PgConnection, chunks: usize) -> Vec<Uuid> {
    these_dead(ledger, connection, jobs("a", 1, (chunks * CHUNK) as u64)).await
}

/// The same of these jobs.
async fn these_dead(ledger: &Subject, connection: &mut PgConnection, jobs: Vec<NewJob>) -> Vec<Uuid> {
    let number = jobs.len();
    run_of(ledger, jobs).await;
    let keys = sqlx::query_scalar("SELECT key FROM queue ORDER BY n").fetch_all(connection).await.unwrap();
    let taken = take(ledger, number).await;
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
    let keys = all_dead(&ledger, &mut watcher, 2).await;
    let held = *keys[CHUNK..].iter().min().unwrap();
    let larger: Vec<Uuid> = keys.iter().copied().filter(|key| *key > held).collect();
    assert!(larger.iter().any(|key| keys[..CHUNK].contains(key)));
    let mut submission = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SET LOCAL lock_timeout = '300ms'").execute(&mut submission).await.unwrap();
    claim(&mut submission, &[held]).await;

    let into = new_run(TENANT);
    let run = into.id;
    let redrive = begin_redrive(&ledger, into);
    somebody_waits(&mut watcher).await;
    claim(&mut submission, &larger).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut submission).await.unwrap();

    assert_eq!(redrive.await.unwrap(), 2 * CHUNK as u64);
    check_counters(&ledger).await;
    has_the_order_of_the_dead(&ledger, run).await;
}

fn begin_redrive(ledger: &Subject, into: NewRun) -> JoinHandle<u64> {
    let ledger = ledger.clone();
    tokio::spawn(async move { ledger.redrive(DeadJobs::All, into).await.unwrap() })
}

async fn has_the_order_of_the_dead(ledger: &Subject, run: RunId) {
    let old = ledger.runs(None, Page::first(10)).await.unwrap();
    let old = old.iter().find(|row| row.id != run).unwrap().id;
    let sources = |rows: Vec<JobRow>| rows.into_iter().map(|row| row.source);
    assert!(sources(rows(ledger, run).await).eq(sources(rows(ledger, old).await)));
}

/// A redrive of five chunks that waits in its third round: a submission holds a key of it until it is told.
async fn waiting_redrive(ledger: &Subject, database: &Database) -> (JoinHandle<u64>, RunId, PgConnection) {
    let mut watcher = PgConnection::connect(&database.url).await.unwrap();
    let mut submission = PgConnection::connect(&database.url).await.unwrap();
    let keys = all_dead(ledger, &mut watcher, 5).await;
    sqlx::raw_sql("BEGIN").execute(&mut submission).await.unwrap();
    claim(&mut submission, &keys[5 * CHUNK - 1..]).await;
    let into = new_run(TENANT);
    let run = into.id;
    let redrive = begin_redrive(ledger, into);
    somebody_waits(&mut watcher).await;
    (redrive, run, submission)
}

/// So it may take as long as it takes; its run ends when all are in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_of_many_goes_in_rounds() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (redrive, run, mut submission) = waiting_redrive(&ledger, &database).await;
    let row = run_row(&ledger, run).await;
    assert_eq!((row.counts.jobs, row.state), (4 * CHUNK as u64, RunState::Open));
    // What dies again before the end is of another redrive.
    let taken = take(&ledger, CHUNK).await;
    let dead = taken.iter().map(|one| finish_of(one, die(DeadReason::Permanent))).collect();
    ledger.finish(dead).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut submission).await.unwrap();
    assert_eq!(redrive.await.unwrap(), 5 * CHUNK as u64);
    check_counters(&ledger).await;
    assert_eq!(run_state(&ledger, run).await, RunState::Running);
    has_the_order_of_the_dead(&ledger, run).await;
    assert_eq!(begin_redrive(&ledger, new_run(TENANT)).await.unwrap(), CHUNK as u64);
}

/// The process dies in between: the run ends with what is in it, and another redrive takes the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_was_left_keeps_what_it_did() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (redrive, run, mut submission) = waiting_redrive(&ledger, &database).await;
    redrive.abort();
    assert!(redrive.await.unwrap_err().is_cancelled());
    sqlx::raw_sql("ROLLBACK").execute(&mut submission).await.unwrap();
    let sweep = || ledger.sweep(Scope::All, Duration::from_hours(1), 20);
    sweep().await.unwrap();
    assert_eq!(run_state(&ledger, run).await, RunState::Open, "somebody may be at it");
    // Waits until the server has undone the third round.
    let age = "UPDATE redriving SET at = at - interval '6 minutes'";
    sqlx::query(age).execute(&mut submission).await.unwrap();
    sweep().await.unwrap();
    assert_eq!(run_state(&ledger, run).await, RunState::Running);
    assert_eq!(run_row(&ledger, run).await.counts.jobs, 4 * CHUNK as u64);
    assert_eq!(begin_redrive(&ledger, new_run(TENANT)).await.unwrap(), CHUNK as u64);
    check_counters(&ledger).await;
}

/// Somebody holds one in the middle: what is sent again has its run, whose id is told, and the same again takes the
/// others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_fails_says_what_it_did() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    all_dead(&ledger, &mut holding, 5).await;
    let hold = "BEGIN; SELECT 1 FROM endings
       WHERE n = (SELECT n FROM endings ORDER BY n OFFSET 4500 LIMIT 1) FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut holding).await.unwrap();
    let hasty = PostgresOptions { statement_timeout: Duration::from_secs(2), ..database.options() };
    let hasty = PostgresLedger::open(&hasty).await.unwrap();
    let into = new_run(TENANT);
    let run = into.id;
    let error = hasty.redrive(DeadJobs::All, into).await.unwrap_err().to_string();
    for part in ["statement timeout", "4000 jobs are sent again already", &run.to_string(), "still dead"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(run_state(&ledger, run).await, RunState::Running);
    let error = hasty.redrive(DeadJobs::All, new_run(TENANT)).await.unwrap_err().to_string();
    assert!(!error.contains("sent again"), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    assert_eq!(begin_redrive(&ledger, new_run(TENANT)).await.unwrap(), CHUNK as u64);
    check_counters(&ledger).await;
}

/// Whether who waits for a lock has inserted jobs before.
const HAS_INSERTED: &str = "
    SELECT EXISTS (SELECT 1 FROM pg_locks held JOIN pg_locks waiting ON waiting.pid = held.pid AND NOT waiting.granted
      WHERE held.relation = 'jobs'::regclass AND held.mode = 'RowExclusiveLock' AND held.granted)";

/// Of jobs of a megabyte a transaction takes 15, and a statement one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_of_large_jobs_takes_a_few_at_a_time() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut watcher = PgConnection::connect(&database.url).await.unwrap();
    let large = raw(&format!(r#""{}""#, "x".repeat(1 << 20)));
    let large = |job| NewJob { args: large.clone(), ..job };
    let keys = these_dead(&ledger, &mut watcher, jobs("a", 1, 20).into_iter().map(large).collect()).await;
    let mut submission = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut submission).await.unwrap();
    claim(&mut submission, &[*keys[15..].iter().max().unwrap()]).await;
    let into = new_run(TENANT);
    let run = into.id;
    let redrive = begin_redrive(&ledger, into);
    somebody_waits(&mut watcher).await;
    assert_eq!(run_row(&ledger, run).await.counts.jobs, 15);
    assert!(sqlx::query_scalar::<_, bool>(HAS_INSERTED).fetch_one(&mut watcher).await.unwrap());
    sqlx::raw_sql("ROLLBACK").execute(&mut submission).await.unwrap();
    assert_eq!(redrive.await.unwrap(), 20);
    has_the_order_of_the_dead(&ledger, run).await;
    check_counters(&ledger).await;
}
