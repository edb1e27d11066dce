//! Broken connections, a server that dies, statements that take too long.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Envelope, JobState, PortError, RunId, RunState};
use fleetline_shared::ports::{Finish, FinishLedger, Finished, Page, QueryLedger, RunRow, Scope, Seal};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, ask, check_counters, finish_of, job, jobs, new_run, open, retry, rows, run_of, run_state,
    states, success, take,
};
use fleetline_tests::services::{Database, PrivateServers, Server};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const JOBS: u64 = 2000;
const GROUP: usize = 25;

/// A sealed run, all of it handed out.
async fn handed_out(ledger: &Subject) -> (RunId, Vec<Envelope>) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("a", 1, JOBS)).await;
    let taken = take(ledger, usize::try_from(JOBS).unwrap()).await;
    // Its commit is on the disk, and takes the dispatch before it along.
    ledger.seal_run(run, Seal::default()).await.unwrap();
    (run, taken)
}

fn groups(taken: &[Envelope]) -> Vec<Vec<Finish>> {
    let group = |group: &[Envelope]| group.iter().map(|one| finish_of(one, success("done"))).collect();
    taken.chunks(GROUP).map(group).collect()
}

async fn assert_all_is_recorded_once(ledger: &Subject, run: RunId) {
    check_counters(ledger).await;
    let rows = rows(ledger, run).await;
    assert_eq!(rows.len() as u64, JOBS);
    assert!(
        rows.iter().all(|row| row.state == JobState::Succeeded && row.usage.calls == 1 && row.attempts == 1)
    );
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// The server dies in the middle of it and comes back. What was answered is there; what was not
/// answered is asked again, and nothing is counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_dies_loses_nothing() {
    let servers = Arc::new(PrivateServers::start());
    let database = Database::on(&servers.urls.postgres).await;
    let ledger: Subject = Arc::new(database.open().await);
    let (run, taken) = handed_out(&ledger).await;
    let (progress, mut done) = mpsc::unbounded_channel();
    let mut workers = JoinSet::new();
    for part in groups(&taken).chunks(taken.len() / GROUP / 4) {
        let (ledger, part, progress) = (ledger.clone(), part.to_vec(), progress.clone());
        workers.spawn(async move {
            for group in part {
                let mut again = false;
                let answers = loop {
                    match ledger.finish(group.clone()).await {
                        Ok(answers) => break answers,
                        Err(PortError::Unavailable { .. }) => again = true,
                        Err(error) => panic!("{error}"),
                    }
                };
                // Only what was in flight when the caller was told "unavailable" may be there already.
                assert!(again || answers.iter().all(|answer| *answer == Finished::Recorded), "{answers:?}");
                progress.send(()).unwrap();
            }
        });
    }
    for _ in 0..10 {
        done.recv().await.unwrap();
    }
    let (kill, url) = (Arc::clone(&servers), database.url.clone());
    tokio::task::spawn_blocking(move || kill.kill(Server::Postgres)).await.unwrap();
    let down = PostgresLedger::open(&PostgresOptions::new(url)).await.err().expect("it is down");
    assert!(matches!(down, PortError::Unavailable { .. }), "{down:?}");
    let start = Arc::clone(&servers);
    tokio::task::spawn_blocking(move || start.start_again(Server::Postgres)).await.unwrap();
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    assert_all_is_recorded_once(&ledger, run).await;
}

/// A crash of the server may undo a dispatch whose messages are out already. The calls are paid for:
/// their outcomes count, whether the jobs were handed out again meanwhile or not.
#[tokio::test]
async fn outcomes_of_a_dispatch_that_was_undone_are_recorded() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = run_of(&ledger, (1..=6).map(|n| job(n, &format!("key-{n}"))).collect()).await;
    let taken = take(&ledger, 6).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("UPDATE queue SET state = 0, fence = fence - 1, dispatched_at = NULL")
        .execute(&mut connection)
        .await
        .unwrap();

    let decisions = [success("done"), retry(Duration::ZERO), success("done")];
    let finishes: Vec<_> =
        taken.iter().zip(decisions.iter().cycle()).map(|(one, end)| finish_of(one, end.clone())).collect();
    let recorded = vec![Finished::Recorded; 3];
    assert_eq!(ledger.finish(finishes[..3].to_vec()).await.unwrap(), recorded);
    assert_eq!(ledger.finish(finishes[..3].to_vec()).await.unwrap(), vec![Finished::Stale; 3]);

    let again = take(&ledger, 6).await;
    assert_eq!(again.len(), 4, "one to be tried again, and those without an outcome so far");
    assert_eq!(ledger.finish(finishes[3..].to_vec()).await.unwrap(), recorded);
    let retried: Vec<_> = again.iter().filter(|one| one.fence == 2).collect();
    assert_eq!(retried.len(), 1, "{again:?}");
    let last: Vec<_> = retried.iter().map(|one| finish_of(one, success("done"))).collect();
    assert_eq!(ledger.finish(last).await.unwrap(), [Finished::Recorded]);
    let last: Vec<_> = take(&ledger, 6).await.iter().map(|one| finish_of(one, success("done"))).collect();
    assert_eq!(ledger.finish(last).await.unwrap(), [Finished::Recorded]);
    check_counters(&ledger).await;
    let rows = rows(&ledger, run).await;
    assert!(rows.iter().all(|row| row.state == JobState::Succeeded), "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.attempts).max(), Some(2));
}

/// Every connection is cut again and again, wherever its statement or its commit is, though never as
/// often during one finish as it tries. The caller notices nothing: every finish is recorded, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_connections_are_not_noticed() {
    const CUTS: usize = 4;
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let (run, taken) = handed_out(&ledger).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let mut cut = 0;
    for together in groups(&taken).chunks(4) {
        let finish = |group: &Vec<Finish>| {
            let (ledger, group) = (ledger.clone(), group.clone());
            async move { ledger.finish(group).await }
        };
        let mut finishes: JoinSet<_> = together.iter().map(finish).collect();
        for _ in 0..CUTS {
            cut += end_backends(&mut connection, "query NOT LIKE 'LISTEN%'").await;
        }
        while let Some(answers) = finishes.join_next().await {
            let answers = answers.unwrap().unwrap();
            assert!(answers.iter().all(|answer| *answer == Finished::Recorded), "{answers:?}");
        }
    }
    assert!(cut > 20, "connections were cut: {cut}");
    assert_all_is_recorded_once(&ledger, run).await;
}

/// All of its ways of working: with retries, which take several statements and a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_submissions_and_retries_are_not_noticed() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = open(&ledger, TENANT).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cutter = tokio::spawn({
        let (url, stop) = (database.url.clone(), Arc::clone(&stop));
        async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                sqlx::query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
                       AND backend_type = 'client backend' AND random() < 0.5",
                )
                .execute(&mut connection)
                .await
                .unwrap();
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    });
    for seq in (1..1000).step_by(20) {
        while ledger.add_jobs(run, jobs("a", seq, seq + 19)).await.is_err() {}
    }
    let mut whole = 0;
    for n in 0..50 {
        // In one statement, and in several.
        let jobs = jobs(&format!("whole-{n}"), 1, if n % 2 == 0 { 10 } else { 20 });
        let submitted = ledger.submit_run(new_run(TENANT), jobs, Value::Null);
        whole += usize::from(submitted.await.is_ok());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    cutter.await.unwrap();
    let rows = rows(&ledger, run).await;
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|row| row.state == JobState::Ready));
    check_counters(&ledger).await;
    let runs = ledger.runs(None, Page::first(100)).await.unwrap();
    assert!(whole > 25 && runs.len() > whole, "{whole} of {runs:?}");
    let whole = |row: &RunRow| row.id == run || [10, 20].contains(&row.counts.jobs);
    assert!(runs.iter().all(whole), "all of a run or none: {runs:?}");

    let taken = take(&ledger, 500).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    assert!(end_backends(&mut connection, "true").await > 1, "who listens for changes among them");
    let group: Vec<Finish> = taken.iter().map(|one| finish_of(one, retry(Duration::ZERO))).collect();
    assert!(ledger.finish(group).await.unwrap().iter().all(|answer| *answer == Finished::Recorded));
    check_counters(&ledger).await;
}

/// However often its answer was lost.
#[tokio::test]
async fn a_whole_run_is_there_once() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    for (name, last) in [("in one statement", 3), ("in several", 40)] {
        let run = new_run(TENANT);
        for _ in 0..3 {
            let submitted = ledger.submit_run(run.clone(), jobs(name, 1, last), Value::Null).await.unwrap();
            assert_eq!((submitted.id, submitted.resumed), (run.id, false));
        }
        assert_eq!(rows(&ledger, run.id).await.len() as u64, last);

        // The first one may be under way still: all of these have begun before one of them ends.
        let mut holder = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT 1 FROM dedup FOR UPDATE").execute(&mut holder).await.unwrap();
        let run = new_run(TENANT);
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (ledger, run, same) = (Arc::clone(&ledger), run.clone(), jobs(name, 1, last));
            tasks.spawn(async move { ledger.submit_run(run, same, Value::Null).await.unwrap().id });
        }
        database.waiting(4).await;
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        assert_eq!(tasks.join_all().await, [run.id; 4]);
        assert_eq!(rows(&ledger, run.id).await.len() as u64, last);
    }
    check_counters(&ledger).await;
}

/// Those of this database.
async fn end_backends(connection: &mut PgConnection, those: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
           AND backend_type = 'client backend' AND {those}"
    )))
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Somebody else holds the row. The caller hears what to do, and nothing is written.
#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let database = Database::new().await;
    let options = PostgresOptions { statement_timeout: Duration::from_millis(300), ..database.options() };
    let ledger: Subject = Arc::new(PostgresLedger::open(&options).await.unwrap());
    let run = run_of(&ledger, vec![job(1, "a")]).await;
    let taken = take(&ledger, 1).await;
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT 1 FROM queue FOR UPDATE").execute(&mut holder).await.unwrap();
    let group = vec![finish_of(&taken[0], success("done"))];
    let error = ledger.finish(group.clone()).await.unwrap_err();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("statement timeout"), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert_eq!(states(&ledger, run).await, [JobState::Dispatched]);
    assert_eq!(ledger.finish(group).await.unwrap(), [Finished::Recorded]);
}

/// All connections are in use for longer than a caller waits.
#[tokio::test]
async fn a_pool_that_is_used_up_says_so() {
    let database = Database::new().await;
    let options = PostgresOptions {
        pool_size: 1,
        acquire_timeout: Duration::from_millis(200),
        listen: false,
        ..database.options()
    };
    let ledger = PostgresLedger::open(&options).await.unwrap();
    let subject: Subject = Arc::new(ledger.clone());
    run_of(&subject, vec![job(1, "a")]).await;
    let taken = take(&subject, 1).await;
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT 1 FROM queue FOR UPDATE").execute(&mut holder).await.unwrap();
    let waiting = tokio::spawn({
        let (ledger, group) = (ledger.clone(), vec![finish_of(&taken[0], success("done"))]);
        async move { ledger.finish(group).await }
    });
    let error = loop {
        // Until the other has the connection.
        if let Err(error) = ledger.runs(None, Page::first(1)).await {
            break error;
        }
    };
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("connections to Postgres are busy"), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), [Finished::Recorded]);
}

/// The first part of it has its messages; of the second one the next dispatch says that nobody knows.
#[tokio::test]
async fn a_dispatch_that_lost_a_part_of_its_answer_says_so() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    run_of(&ledger, jobs("short", 1, 10)).await;
    run_of(&ledger, jobs("long", 1, 100)).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let break_off = "
        CREATE SEQUENCE takings;
        CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('takings') = 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER break_off AFTER UPDATE ON queue FOR EACH STATEMENT EXECUTE FUNCTION break_off()";
    sqlx::raw_sql(break_off).execute(&mut connection).await.unwrap();
    assert_eq!(take(&ledger, 100).await.len(), 60, "half of what there is room for, and all that is shorter");
    let lost = ledger.dispatch(ask(Scope::All, 100)).await.unwrap_err();
    assert!(lost.to_string().contains("lost"), "{lost}");
    assert_eq!(take(&ledger, 100).await.len(), 50);
}
