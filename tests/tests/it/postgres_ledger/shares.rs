//! Thousands that wait for one job get their share in several transactions.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Envelope, JobState, NewJob, RunId, RunState};
use fleetline_shared::ports::{Finish, FinishLedger, Finished, JobRow, Scope};
use fleetline_shared::postgres::PostgresLedger;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    check_counters, die, finish_of, job, rows, run_of, run_row, run_state, states, success, take_one,
};
use fleetline_tests::services::Database;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// More than two rounds.
const MANY: u64 = 5_000;
const LONG: Duration = Duration::from_mins(1);

/// All of one key, of one run; one more is of another.
async fn thousands(ledger: &Subject) -> (RunId, RunId) {
    let all = run_of(ledger, (1..=MANY).map(|seq| job(seq, "same")).collect()).await;
    (all, run_of(ledger, vec![job(1, "same")]).await)
}

async fn finish(ledger: &Subject, finish: Finish) {
    let answers = timeout(LONG / 3, ledger.finish(vec![finish])).await.expect("it waits for few");
    assert_eq!(answers.unwrap(), [Finished::Recorded]);
}

/// Until all have ended; the last one finishes its run.
async fn is_finished(ledger: &Subject, run: RunId) {
    let mut changes = ledger.changes();
    let finished = async {
        while run_state(ledger, run).await != RunState::Finished {
            changes.changed().await.unwrap();
        }
    };
    timeout(LONG, finished).await.expect("all get their share");
}

/// Until so many jobs are noted of which others are still to be served.
pub(super) async fn unshared(looking: &mut PgConnection, number: i64) {
    let count = "SELECT count(*) FROM unshared";
    let reached = async {
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *looking).await.unwrap() != number {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, reached).await.expect("rounds come to an end");
}

/// Keeps the last round waiting.
const HOLD_YOUNGEST: &str = "SELECT n FROM queue WHERE state = 2 ORDER BY n DESC LIMIT $1 FOR UPDATE";

/// Backends that wait for a lock.
const WAITING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until somebody waits for a lock, or nobody does.
pub(super) async fn is_waited(looking: &mut PgConnection, expected: bool) {
    let waits = format!("SELECT EXISTS (SELECT {WAITING})");
    let reached = async {
        while sqlx::query_scalar::<_, bool>(AssertSqlSafe(waits.clone()))
            .fetch_one(&mut *looking)
            .await
            .unwrap()
            != expected
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, reached).await.expect("the last round comes");
}

/// Another process records this, and dies before all have got their share.
async fn record_and_die(database: &Database, finish: Finish) {
    let recorded = async move |ledger: &PostgresLedger| {
        assert_eq!(ledger.finish(vec![finish]).await.unwrap(), [Finished::Recorded]);
    };
    do_and_die(database, 10, recorded).await;
}

/// Another process does it, and dies before the `youngest` have got their share.
pub(super) async fn do_and_die(
    database: &Database,
    youngest: i64,
    work: impl AsyncFnOnce(&PostgresLedger) + Send + 'static,
) {
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let mut held = holding.begin().await.unwrap();
    sqlx::query(HOLD_YOUNGEST).bind(youngest).execute(&mut *held).await.unwrap();
    let (end, ends) = oneshot::channel::<()>();
    let options = database.options();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let ledger = PostgresLedger::open(&options).await.unwrap();
            work(&ledger).await;
            ends.await.unwrap();
        });
        runtime.shutdown_background();
    });
    is_waited(&mut looking, true).await;
    end.send(()).unwrap();
    process.join().unwrap();
    let terminate = format!("SELECT pg_terminate_backend(pid) {WAITING}");
    sqlx::query(AssertSqlSafe(terminate)).execute(&mut *held).await.unwrap();
    is_waited(&mut looking, false).await;
    held.rollback().await.unwrap();
}

pub(super) async fn sweep(ledger: &Subject) {
    ledger.sweep(Scope::All, Duration::from_hours(1), 20).await.unwrap();
}

/// As if it had been left for a while.
pub(super) async fn age(looking: &mut PgConnection) {
    let sql = "UPDATE unshared SET at = at - interval '2 minutes'";
    sqlx::query(sql).execute(looking).await.unwrap();
}

fn have_result_of(rows: &[JobRow], envelope: &Envelope) {
    for row in rows {
        assert_eq!((row.state, row.reused), (JobState::Succeeded, true), "{row:?}");
        assert_eq!(row.result_of, Some(envelope.job_id));
    }
}

/// The others' outcomes do not wait for it, nor does it have to succeed in the time of a statement.
#[tokio::test]
async fn a_finish_serves_few_and_the_others_follow() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (run, other) = thousands(&ledger).await;
    let taken = take_one(&ledger).await;
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    let mut held = holding.begin().await.unwrap();
    sqlx::query(HOLD_YOUNGEST).bind(10_i64).execute(&mut *held).await.unwrap();
    finish(&ledger, finish_of(&taken, success("shared"))).await;
    assert!((2..MANY).contains(&run_row(&ledger, run).await.counts.succeeded));
    held.rollback().await.unwrap();
    is_finished(&ledger, run).await;
    is_finished(&ledger, other).await;
    check_counters(&ledger).await;
    have_result_of(&rows(&ledger, run).await[1..], &taken);
    have_result_of(&rows(&ledger, other).await, &taken);
    unshared(&mut holding, 0).await;
}

#[tokio::test]
async fn a_sweep_goes_on_with_shares_that_were_left() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (run, other) = thousands(&ledger).await;
    let taken = take_one(&ledger).await;
    record_and_die(&database, finish_of(&taken, die(DeadReason::Permanent))).await;
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    sweep(&ledger).await;
    assert!(run_row(&ledger, run).await.counts.dead < MANY, "somebody may be at it");
    age(&mut looking).await;
    sweep(&ledger).await;
    unshared(&mut looking, 0).await;
    check_counters(&ledger).await;
    for run in [run, other] {
        assert_eq!(run_state(&ledger, run).await, RunState::Finished);
        for row in rows(&ledger, run).await {
            assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::Permanent)));
        }
    }
}

/// All of them, one after the other.
#[tokio::test]
async fn thousands_wait_for_the_heir() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let (run, other) = thousands(&ledger).await;
    let first = take_one(&ledger).await;
    finish(&ledger, finish_of(&first, die(DeadReason::Exhausted))).await;
    unshared(&mut looking, 0).await;
    let heir = take_one(&ledger).await;
    let twins = "SELECT count(DISTINCT twin) FROM queue WHERE state = 2";
    assert_eq!(sqlx::query_scalar::<_, i64>(twins).fetch_one(&mut looking).await.unwrap(), 1);
    finish(&ledger, finish_of(&heir, success("by the heir"))).await;
    is_finished(&ledger, run).await;
    is_finished(&ledger, other).await;
    check_counters(&ledger).await;
    let of_run = rows(&ledger, run).await;
    assert_eq!((of_run[0].state, of_run[1].result_of), (JobState::Dead, None));
    have_result_of(&of_run[2..], &heir);
    have_result_of(&rows(&ledger, other).await, &heir);
}

/// Who was not told of the heir gets its result all the same, and nobody calls for it again.
#[tokio::test]
async fn an_heir_may_end_before_all_wait_for_it() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let (run, other) = thousands(&ledger).await;
    record_and_die(&database, finish_of(&take_one(&ledger).await, die(DeadReason::Exhausted))).await;
    let heir = take_one(&ledger).await;
    finish(&ledger, finish_of(&heir, success("by the heir"))).await;
    unshared(&mut looking, 1).await;
    age(&mut looking).await;
    sweep(&ledger).await;
    unshared(&mut looking, 0).await;
    check_counters(&ledger).await;
    assert_eq!(run_state(&ledger, run).await, RunState::Finished);
    have_result_of(&rows(&ledger, run).await[2..], &heir);
    have_result_of(&rows(&ledger, other).await, &heir);
}

/// One that is in time is found in a later round.
#[tokio::test]
async fn thousands_that_are_too_late_die_together() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut looking = PgConnection::connect(&database.url).await.unwrap();
    let late = |seq| NewJob { deadline: Some(Duration::ZERO), ..job(seq, "same") };
    let run = run_of(&ledger, (1..=MANY).map(late).collect()).await;
    let other = run_of(&ledger, vec![job(1, "same"), job(2, "same")]).await;
    sweep(&ledger).await;
    is_finished(&ledger, run).await;
    unshared(&mut looking, 0).await;
    assert_eq!(run_row(&ledger, run).await.counts.dead, MANY);
    assert_eq!(states(&ledger, other).await, [JobState::Ready, JobState::Attached]);
    finish(&ledger, finish_of(&take_one(&ledger).await, success("in time"))).await;
    assert_eq!(states(&ledger, other).await, [JobState::Succeeded; 2]);
}
