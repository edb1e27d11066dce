//! What a step reads: about what it takes, however long the backlog is, and whatever the planner
//! believes. Its statements are planned for empty tables first, then the backlog comes; that is how a
//! plan goes wrong that was made on a quiet morning.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Decision, Done, Envelope, JobState, NewJob, Source};
use fleetline_shared::ports::{CancelJobs, DispatchAsk, JobFilter, Page, Scope, Seal};
use fleetline_shared::postgres::PostgresOptions;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    HOUR, KIND, TENANT, add, ask, die, finish_of, job, jobs, new_run, open, raw, retry, snooze, success, take,
};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use fleetline_tests::services::Database;

const BACKLOG: u64 = 20_000;
const TAKEN: usize = 100;

/// Every step of a job's way, in numbers far below the backlog.
async fn every_step(ledger: &Subject, name: &str, second: &str) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs(name, 1, 20)).await;
    add(ledger, run, jobs(name, 11, 30)).await;
    ledger.seal_run(run, Seal { occurrences: vec![(1, 7)], ..Seal::default() }).await.unwrap();
    let other = open(ledger, second).await;
    add(ledger, other, jobs(name, 1, 5)).await;
    for last in [3, 30] {
        ledger
            .submit_run(new_run(TENANT), jobs(&format!("{name}-{last}"), 1, last), Value::Null)
            .await
            .unwrap();
    }

    let taken = take(ledger, TAKEN).await;
    let handed_out = ledger.handed_out(Scope::All, KIND).await.unwrap();
    assert_eq!(ledger.messages(KIND, handed_out).await.unwrap().len(), taken.len());
    let asked = taken.iter().map(|envelope| (envelope.job_id, envelope.fence)).collect();
    ledger.validity(asked, Duration::ZERO).await.unwrap();
    let group = taken.iter().zip(0..).map(|(envelope, n)| finish_of(envelope, decision(envelope, n)));
    ledger.finish(group.collect()).await.unwrap();
    let taken = take(ledger, 10).await;
    let group = taken.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
    ledger.finish(group).await.unwrap();
    take(ledger, 2).await;
    ledger.next_due(Scope::All).await.unwrap();
    ledger.next_due(Scope::Run(other)).await.unwrap();
    ledger.sweep(Scope::All, Duration::ZERO, 50).await.unwrap();
    ledger.cancel(second, CancelJobs::Run(other)).await.unwrap();
    for run in [None, Some(run)] {
        for state in [None, Some(JobState::Dead), Some(JobState::Ready), Some(JobState::Succeeded)] {
            let tenant = Some(TENANT.into());
            let filter = JobFilter { run, state, tenant, with_results: true, ..JobFilter::default() };
            ledger.jobs(filter, Page { after: 0, limit: 10 }).await.unwrap();
        }
    }
    ledger.args(taken[0].job_id).await.unwrap().expect("it is there");
    ledger.job_detail(taken[0].job_id).await.unwrap().expect("it is there");
    ledger.runs(Some(TENANT), Page::first(2)).await.unwrap();
}

fn decision(envelope: &Envelope, n: usize) -> Decision {
    let source = Source::FollowUp { follows: envelope.job_id };
    match n % 7 {
        0 => retry(Duration::ZERO),
        1 => snooze(HOUR),
        2 => die(fleetline_shared::domain::DeadReason::Exhausted),
        3 => Decision::Cancel,
        4 => {
            let next = NewJob { seq: None, source, ..job(0, &format!("after {}", envelope.job_id)) };
            Decision::Succeed(Done { follow_ups: vec![next], ..Done::new(raw("1")) })
        }
        5 => Decision::Reuse { why: "will do".into(), otherwise: Box::new(snooze(HOUR)) },
        _ => success("done"),
    }
}

/// Rows and index entries that statements have read, and jobs that have ended.
async fn statistics(connection: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint
           + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)::bigint,
           (SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'endings')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// A connection reports what it has read when it ends, at the latest.
async fn gone(connection: &mut PgConnection, application: &str) {
    let connected = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database())";
    while sqlx::query_scalar(connected).bind(application).fetch_one(&mut *connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

/// `second`: whose the runs are beside the backlog; if it is another tenant, the two share the line.
async fn reads_what_it_takes(analyze: bool, second: &str) {
    let database = Database::new().await;
    let ledger = planned_when_empty(&database, second).await;

    let options = PostgresOptions { application_name: "filler".into(), ..database.options() };
    let filler: Subject = Arc::new(fleetline_shared::postgres::PostgresLedger::open(&options).await.unwrap());
    let run = open(&filler, TENANT).await;
    add(&filler, run, jobs("backlog", 1, BACKLOG / 2)).await;
    let handed_out = take(&filler, usize::try_from(BACKLOG / 2).unwrap()).await;
    assert!(handed_out.len() as u64 > BACKLOG / 3);
    add(&filler, run, jobs("backlog", BACKLOG / 2 + 1, BACKLOG)).await;
    let group = handed_out[..1000].iter().map(|envelope| finish_of(envelope, success("done"))).collect();
    filler.finish(group).await.unwrap();
    drop(filler);
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    // What is dead is stepped over until it is vacuumed, and not what this is about.
    sqlx::raw_sql("VACUUM").execute(&mut connection).await.unwrap();
    if analyze {
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    }
    gone(&mut connection, "filler").await;
    sqlx::raw_sql("SELECT pg_stat_reset()").execute(&mut connection).await.unwrap();

    // Not the sweep: all that was handed out would be swept, and that is many.
    let run = open(&ledger, second).await;
    add(&ledger, run, jobs("full", 1, 60)).await;
    for last in [3, 30] {
        ledger
            .submit_run(new_run(second), jobs(&format!("full-{last}"), 1, last), Value::Null)
            .await
            .unwrap();
    }
    let taken = take(&ledger, TAKEN).await;
    assert_eq!(taken.len(), TAKEN);
    // More is ready than so few: what there is to take is looked for as ever.
    assert_eq!(take(&ledger, 5).await.len(), 5);
    let asked = taken.iter().map(|envelope| (envelope.job_id, envelope.fence)).collect();
    ledger.validity(asked, Duration::ZERO).await.unwrap();
    let (plain, mixed) = taken.split_at(TAKEN / 2);
    let group = plain.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
    ledger.finish(group).await.unwrap();
    let group = mixed.iter().zip(0..).map(|(envelope, n)| finish_of(envelope, decision(envelope, n)));
    ledger.finish(group.collect()).await.unwrap();
    ledger.seal_run(run, Seal { occurrences: vec![(1, 7)], ..Seal::default() }).await.unwrap();
    ledger.next_due(Scope::All).await.unwrap();
    ledger.sweep(Scope::All, HOUR, 3).await.unwrap();
    ledger.cancel(second, CancelJobs::Run(run)).await.unwrap();
    for state in [None, Some(JobState::Dead), Some(JobState::Succeeded)] {
        let of_state =
            JobFilter { state, tenant: Some(TENANT.into()), with_results: true, ..JobFilter::default() };
        ledger.jobs(of_state, Page { after: 0, limit: 10 }).await.unwrap();
    }
    ledger.job_detail(taken[0].job_id).await.unwrap().expect("it is there");
    drop(ledger);
    gone(&mut connection, "fleetline").await;
    let (read, ended) = statistics(&mut connection).await;
    assert!(ended >= 60, "the statistics are complete: {ended} endings");
    assert!(read < i64::try_from(BACKLOG / 2).unwrap(), "{read} rows read of a backlog of {BACKLOG}");
}

#[tokio::test]
async fn steps_read_what_they_take_without_statistics() {
    reads_what_it_takes(false, TENANT).await;
}

#[tokio::test]
async fn steps_read_what_they_take_with_statistics() {
    reads_what_it_takes(true, TENANT).await;
}

#[tokio::test]
async fn tenants_that_share_a_line_read_what_they_take() {
    reads_what_it_takes(false, "globex").await;
}

/// A run for each of so many jobs, as single requests make them.
async fn single_jobs(ledger: &Subject, tenant: &'static str, upstream: &'static str, count: u64) {
    let mut tasks = JoinSet::new();
    for part in 0..4 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            for n in (0..count).filter(|n| n % 4 == part) {
                let job = NewJob { upstream: Some(upstream.into()), ..job(1, &format!("{upstream}-{n}")) };
                ledger.submit_run(new_run(tenant), vec![job], Value::Null).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// A ledger of one connection, whose statements are planned for empty tables.
async fn planned_when_empty(database: &Database, second: &str) -> Subject {
    let ledger = of_one_connection(database).await;
    every_step(&ledger, "empty", second).await;
    ledger
}

async fn of_one_connection(database: &Database) -> Subject {
    let options = PostgresOptions { pool_size: 1, ..database.options() };
    Arc::new(fleetline_shared::postgres::PostgresLedger::open(&options).await.unwrap())
}

/// Another ledger; nothing is left to hand out.
async fn filler(database: &Database) -> Subject {
    let options = PostgresOptions { application_name: "filler".into(), ..database.options() };
    let filler: Subject = Arc::new(fleetline_shared::postgres::PostgresLedger::open(&options).await.unwrap());
    while !take(&filler, 1_000).await.is_empty() {}
    filler
}

/// What these steps read, when the filler has gone and nothing dead is left.
async fn read_by(database: &Database, ledger: Subject, steps: impl AsyncFnOnce(&Subject)) -> i64 {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    gone(&mut connection, "filler").await;
    sqlx::raw_sql("VACUUM").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("SELECT pg_stat_reset()").execute(&mut connection).await.unwrap();
    steps(&ledger).await;
    drop(ledger);
    gone(&mut connection, "fleetline").await;
    statistics(&mut connection).await.0
}

/// What dispatches have left dead at the head of a lane is stepped over by whoever looks there: who finds the lane, and
/// who takes of it. An old snapshot keeps it there, so that it counts each time, whatever else the server does.
#[tokio::test]
async fn a_dispatch_steps_twice_over_what_is_dead() {
    const DISPATCHES: usize = 10;
    let database = Database::new().await;
    let filler = filler(&database).await;
    let run = open(&filler, TENANT).await;
    add(&filler, run, jobs("long", 1, 2_000)).await;
    drop(filler);
    let ledger = of_one_connection(&database).await;
    let mut old = PgConnection::connect(&database.url).await.unwrap();
    let read = read_by(&database, ledger, async |ledger| {
        let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM runs";
        sqlx::raw_sql(hold).execute(&mut old).await.unwrap();
        for _ in 0..DISPATCHES {
            assert_eq!(take(ledger, TAKEN).await.len(), TAKEN);
        }
    });
    // Each job's entries among the ready ones, in the queue and in the table of jobs; and some for the lanes.
    let taken = DISPATCHES * (3 * TAKEN + 20);
    let dead: usize = (0..DISPATCHES).map(|dispatches| dispatches * TAKEN).sum();
    let read = read.await;
    assert!(read <= i64::try_from(taken + 2 * dead).unwrap(), "{read} rows read");
}

/// What one dispatch for an upstream reads, while so many runs of another tenant wait for another one, which may
/// be closed.
async fn read_beside(waiting: u64, skip: &[&str]) -> i64 {
    const DISPATCHES: i64 = 5;
    let database = Database::new().await;
    let ledger = planned_when_empty(&database, "globex").await;
    let filler = filler(&database).await;
    single_jobs(&filler, TENANT, "slow", waiting).await;
    let run = open(&filler, "globex").await;
    let quick = |job| NewJob { upstream: Some("quick".into()), ..job };
    add(&filler, run, jobs("quick", 1, 100).into_iter().map(quick).collect()).await;
    drop(filler);
    let read = read_by(&database, ledger, async |ledger| {
        for _ in 0..DISPATCHES {
            let skip_upstreams = skip.iter().map(|name| (*name).to_owned()).collect();
            let taken = ledger.dispatch(DispatchAsk { skip_upstreams, ..ask(Scope::All, 10) }).await.unwrap();
            assert_eq!(taken.len(), 10);
            assert!(taken.iter().any(|envelope| envelope.tenant == "globex"));
        }
    });
    read.await / DISPATCHES
}

/// A line's dispatch is dear by what waits in that line alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_wait_for_another_upstream_are_not_read() {
    for skip in [[].as_slice(), &["slow"]] {
        // More than one dispatch looks at, if the other line is served as well.
        let (few, many) = (read_beside(200, skip).await, read_beside(2_000, skip).await);
        // Each of the others would be read twice; a busy server leaves some hundred dead entries to look at.
        assert!(many < few + 1_000, "skipping {skip:?}: {few} rows read beside 200 runs, {many} beside 2000");
    }
}

/// What dispatches read for an upstream for which so many runs wait until later, and fifty of them no longer.
/// `second`: if it is another tenant, unfinished runs are of two.
async fn read_among_sleepers(asleep: u64, second: &str) -> i64 {
    let database = Database::new().await;
    let ledger = planned_when_empty(&database, second).await;
    let filler = filler(&database).await;
    single_jobs(&filler, TENANT, "busy", asleep).await;
    let taken = take(&filler, usize::try_from(asleep).unwrap()).await;
    for group in taken.chunks(500) {
        let group = group.iter().map(|envelope| finish_of(envelope, snooze(HOUR))).collect();
        filler.finish(group).await.unwrap();
    }
    drop(filler);
    let options: PgConnectOptions = database.url.parse().unwrap();
    let mut filler = PgConnection::connect_with(&options.application_name("filler")).await.unwrap();
    let some_are_due = "UPDATE queue SET run_at = now() WHERE n IN (
        SELECT n FROM queue WHERE state = 0 AND upstream = 'busy' ORDER BY n DESC LIMIT 50)";
    assert_eq!(sqlx::raw_sql(some_are_due).execute(&mut filler).await.unwrap().rows_affected(), 50);
    filler.close().await.unwrap();
    let read = read_by(&database, ledger, async |ledger| {
        for _ in 0..5 {
            assert_eq!(take(ledger, 10).await.len(), 10);
            assert!(ledger.next_due(Scope::All).await.unwrap().is_some());
        }
        assert!(take(ledger, 10).await.is_empty());
    });
    read.await
}

/// Only those that no longer do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_wait_until_later_are_not_read() {
    for second in [TENANT, "globex"] {
        let (few, many) = (read_among_sleepers(200, second).await, read_among_sleepers(2_000, second).await);
        // Each of the others would be read by the first dispatch and by the last; a busy server leaves dead entries to look at.
        assert!(many < few + 2_000, "beside {second}: {few} rows read among 200 runs, {many} among 2000");
    }
}
