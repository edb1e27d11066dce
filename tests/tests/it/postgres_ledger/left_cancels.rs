//! A run is cancelled in several transactions: what becomes of it when nobody is left to go on.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{JobState, PortError, RunState};
use fleetline_shared::ports::{CancelJobs, DispatchLedger, Scope};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    HOUR, TENANT, add, check_counters, finish_of, jobs, open, retry, run_of, run_state, states, take,
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

/// What a process leaves that dies at the beginning.
const BEGUN: &str = "
    UPDATE runs SET cancelled_at = now() - interval '2 minutes', state = 1, cancelling = true;
    INSERT INTO unshared (twin, key, at) SELECT n, key, now() - interval '2 minutes' FROM queue ORDER BY n LIMIT 1;
    INSERT INTO redriving (run, done_to, last, jobs, at)
    SELECT max(n), 1, 1, 1, now() - interval '6 minutes' FROM runs";

/// Somebody holds a job of the oldest one: the others are done, and what there was is news.
#[tokio::test]
async fn a_cancellation_that_fails_keeps_nothing_else_from_being_done() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let first = run_of(&ledger, jobs("a", 1, 3)).await;
    let second = run_of(&ledger, jobs("b", 1, 3)).await;
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(BEGUN).execute(&mut looking).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT 1 FROM queue WHERE run = (SELECT min(n) FROM runs) FOR UPDATE")
        .execute(&mut holding)
        .await
        .unwrap();
    let hasty =
        PostgresOptions { statement_timeout: Duration::from_secs(1), listen: false, ..database.options() };
    let hasty = PostgresLedger::open(&hasty).await.unwrap();
    let mut changes = hasty.changes();
    let error = hasty.sweep(Scope::All, HOUR, 20).await.unwrap_err();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error}");
    assert_eq!(states(&ledger, second).await, [JobState::Cancelled; 3]);
    let left = "SELECT (SELECT count(*) FROM unshared), (SELECT count(*) FROM redriving)";
    let left: (i64, i64) = sqlx::query_as(left).fetch_one(&mut looking).await.unwrap();
    assert_eq!(left, (0, 0));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    hasty.sweep(Scope::All, HOUR, 20).await.unwrap();
    assert_eq!(states(&ledger, first).await, [JobState::Cancelled; 3]);
    assert!(!is_begun(&mut looking).await);
}

/// A hundred oldest runs whose jobs cannot end, whatever for.
const STUCK: &str = "
    CREATE FUNCTION sticks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'stuck'; END $$;
    CREATE TRIGGER stuck BEFORE INSERT ON endings FOR EACH ROW WHEN (NEW.run <= 100) EXECUTE FUNCTION sticks();
    UPDATE runs SET cancelled_at = now() - interval '2 minutes', state = 1, cancelling = true";

/// Each sweep tries some, and the next one goes on behind them.
#[tokio::test]
async fn cancellations_that_fail_again_and_again_keep_none_waiting_for_ever() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    for n in 1..=100 {
        run_of(&ledger, jobs(&format!("stuck {n}"), 1, 1)).await;
    }
    let last = run_of(&ledger, jobs("last", 1, 2)).await;
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(STUCK).execute(&mut looking).await.unwrap();
    for expected in [JobState::Ready, JobState::Cancelled] {
        let _ = ledger.sweep(Scope::All, HOUR, 20).await;
        assert_eq!(states(&ledger, last).await, [expected; 2]);
    }
    let error = ledger.sweep(Scope::All, HOUR, 20).await.unwrap_err();
    assert!(error.to_string().contains("stuck"), "it begins from the first again: {error}");
    sqlx::raw_sql("DROP TRIGGER stuck ON endings").execute(&mut looking).await.unwrap();
    ledger.sweep(Scope::All, HOUR, 20).await.unwrap();
    ledger.sweep(Scope::All, HOUR, 20).await.unwrap();
    assert!(!is_begun(&mut looking).await);
    check_counters(&ledger).await;
}

/// A long run whose jobs have ended, to be looked at through a view that bears with so many in one statement.
const LONG_RUN: &str = "
    INSERT INTO jobs (n, run, id, est_input, est_output, occurrences, priority, max_attempts, kind, upstream, dedup_key,
      source, args)
    SELECT nextval('job_numbers'), (SELECT max(n) FROM runs), gen_random_uuid(), 0, 0, 1, 0, 1, '', '', '', '', ''
    FROM generate_series(1, 50000);
    CREATE FUNCTION is_one_of_few() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
      IF current_setting('walk.at', true) IS DISTINCT FROM statement_timestamp()::text THEN
        PERFORM set_config('walk.at', statement_timestamp()::text, false), set_config('walk.jobs', '0', false);
      END IF;
      PERFORM set_config('walk.jobs', (current_setting('walk.jobs')::integer + 1)::text, false);
      IF current_setting('walk.jobs')::integer > 25000 THEN RAISE 'a statement looks at too many jobs'; END IF;
      RETURN true;
    END $$";
const LOOK_THROUGH_VIEW: &str = "
    ALTER TABLE jobs RENAME TO all_jobs;
    CREATE VIEW jobs AS SELECT * FROM all_jobs WHERE is_one_of_few()";

/// However many of its jobs have ended, no statement takes long.
#[tokio::test]
async fn a_long_run_is_cancelled_in_short_statements() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = open(&ledger, TENANT).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(LONG_RUN).execute(&mut connection).await.unwrap();
    add(&ledger, run, jobs("last", 1, 2)).await;
    sqlx::raw_sql(LOOK_THROUGH_VIEW).execute(&mut connection).await.unwrap();
    let cancelled = ledger.cancel(TENANT, CancelJobs::Run(run)).await.unwrap();
    assert_eq!(cancelled.cancelled, 2);
}
