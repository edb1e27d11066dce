//! What a dispatch costs when very many tenants have work. A measurement and a bound:
//! `cargo nextest run --run-ignored all --no-capture -E 'test(many_tenants)'`

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetline_shared::domain::{Estimate, NewJob};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{add, jobs, open, take};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

const TAKEN: usize = 100;
const DISPATCHES: u32 = 10;
/// Jobs that wait, whatever the number of tenants.
const BACKLOG: u64 = 20_000;

/// What one dispatch of [`TAKEN`] jobs reads and writes, and how long it takes.
struct Cost {
    read: i64,
    written: i64,
    time: Duration,
}

/// So many tenants, each with a run and its part of the backlog.
async fn cost(tenants: u64) -> Cost {
    let database = Database::new().await;
    let options = PostgresOptions { application_name: "filler".into(), ..database.options() };
    let filler: Subject = Arc::new(PostgresLedger::open(&options).await.unwrap());
    let mut tasks = JoinSet::new();
    for part in 0..8 {
        let filler = filler.clone();
        tasks.spawn(async move {
            for tenant in (0..tenants).filter(|tenant| tenant % 8 == part) {
                let run = open(&filler, &format!("tenant-{tenant}")).await;
                // No two are alike: clocks are as far apart as in life.
                let sized = |(job, n): (NewJob, u64)| NewJob {
                    estimate: Estimate { input_tokens: 100 + (tenant * 37 + n * 11) % 400, output_tokens: 0 },
                    ..job
                };
                let waiting = jobs(&run.to_string(), 1, BACKLOG / tenants).into_iter().zip(0..);
                add(&filler, run, waiting.map(sized).collect()).await;
            }
        });
    }
    tasks.join_all().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
    // So that every tenant has a clock.
    while take(&filler, 1_000).await.len() == 1_000
        && pending(&mut connection).await > BACKLOG.cast_signed() / 2
    {}
    drop(filler);
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
    gone(&mut connection, "filler").await;

    let ledger: Subject = Arc::new(
        PostgresLedger::open(&PostgresOptions { pool_size: 1, ..database.options() }).await.unwrap(),
    );
    sqlx::raw_sql("SELECT pg_stat_reset()").execute(&mut connection).await.unwrap();
    let start = Instant::now();
    for _ in 0..DISPATCHES {
        assert_eq!(take(&ledger, TAKEN).await.len(), TAKEN);
    }
    let time = start.elapsed() / DISPATCHES;
    drop(ledger);
    gone(&mut connection, "fleetline").await;
    let (read, written): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint
           + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)::bigint,
           (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables)::bigint",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let each = i64::from(DISPATCHES);
    Cost { read: read / each, written: written / each, time }
}

async fn pending(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM queue WHERE state = 0").fetch_one(connection).await.unwrap()
}

/// A connection reports what it has read when it ends, at the latest.
async fn gone(connection: &mut PgConnection, application: &str) {
    let connected = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database())";
    while sqlx::query_scalar(connected).bind(application).fetch_one(&mut *connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_tenants_cost() {
    for tenants in [1, 2, 100, 1_000, 10_000] {
        let Cost { read, written, time } = cost(tenants).await;
        println!(
            "{tenants} tenants: {read} rows read, {written} written, {time:?} for a dispatch of {TAKEN}"
        );
    }
}
