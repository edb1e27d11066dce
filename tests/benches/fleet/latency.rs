//! How long a single job takes when nothing else is going on, and what waiting calls leave of the
//! ideal rate.

use std::time::{Duration, Instant};

use fleetline_producer::dispatcher::WindowBounds;
use fleetline_shared::ports::{Broker, QueryLedger};
use redis::AsyncCommands;
use sqlx::PgPool;
use tokio::time::sleep;

use crate::floor;
use crate::provider::CALL;
use crate::rig::{Rig, Work};
use crate::throughput::{median, servers};

const SINGLE_JOBS: usize = 200;
const WINDOW: WindowBounds = WindowBounds { least: 64, most: 10_000 };
const ROUNDS: usize = 3;
const PLACES: usize = 200;
/// With waiting calls.
const JOBS: u64 = 20_000;

/// Submit to committed, one job at a time, and the raw round trips beside it.
pub(crate) async fn print() {
    let rig = Rig::new().await;
    let dispatcher = rig.dispatcher(Work::Noop, WINDOW);
    let worker = rig.worker(Work::Noop, 10);
    println!("latency of a single job, idle fleet, {SINGLE_JOBS} jobs");
    for (when, rest) in [("after a rest of 30 ms", Duration::from_millis(30)), ("at once", Duration::ZERO)] {
        let (accepted, committed) = single_jobs(&rig, rest).await;
        println!("  the next one {when}");
        println!(
            "    submit to accepted    p50 {:.1} ms, p99 {:.1} ms",
            at(&accepted, 0.5),
            at(&accepted, 0.99)
        );
        println!(
            "    submit to committed   p50 {:.1} ms, p99 {:.1} ms",
            at(&committed, 0.5),
            at(&committed, 0.99)
        );
    }
    worker.end().await;
    dispatcher.end().await;
    println!("  raw round trips         {}", raw_trips(&rig).await);
    rig.remove().await;
}

/// Milliseconds until each was accepted, and committed, sorted.
async fn single_jobs(rig: &Rig, rest: Duration) -> (Vec<f64>, Vec<f64>) {
    let (mut accepted, mut committed) = (Vec::new(), Vec::new());
    for _ in 0..SINGLE_JOBS {
        sleep(rest).await;
        let started = Instant::now();
        let run = rig.submit_one(Work::Noop).await;
        accepted.push(started.elapsed().as_secs_f64() * 1e3);
        rig.committed(run).await;
        committed.push(started.elapsed().as_secs_f64() * 1e3);
    }
    accepted.sort_by(f64::total_cmp);
    committed.sort_by(f64::total_cmp);
    (accepted, committed)
}

fn at(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((sorted.len() - 1) as f64 * share) as usize;
    sorted[index]
}

/// The trips that no design can save: two commits (submit, finish), two scripts, and the
/// broker's way in and out, measured as one passive declare each.
async fn raw_trips(rig: &Rig) -> String {
    let pool = PgPool::connect(rig.database_url()).await.expect("Postgres");
    sqlx::query("CREATE TABLE trips (n int)").execute(&pool).await.expect("a table");
    let commit = time(|| async {
        sqlx::query("INSERT INTO trips VALUES (1)").execute(&pool).await.expect("inserted");
    })
    .await;
    let client = redis::Client::open(fleetline_tests::services::shared().redis.as_str()).expect("a URL");
    let redis = client.get_multiplexed_async_connection().await.expect("Redis");
    let script = time(|| async {
        let _: Option<String> = redis.clone().get("nothing").await.expect("an answer");
    })
    .await;
    let broker = time(|| async {
        rig.broker.depth(Work::Noop.kind()).await.expect("a depth");
    })
    .await;
    pool.close().await;
    format!(
        "commit {commit:.2} ms, Redis {script:.2} ms, broker {broker:.2} ms: 2 commits + 2 scripts + 2 broker = {:.1} ms",
        2.0 * commit + 2.0 * script + 2.0 * broker
    )
}

/// Milliseconds, median of 50.
async fn time<F: Future<Output = ()>>(call: impl Fn() -> F) -> f64 {
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        call().await;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    median(times)
}

/// 200 calls of 50 ms at the same time: the share of the ideal rate, beside that of the bare loop. From a backlog
/// on the line, as the bare loop has it, and with a dispatcher that fills the line meanwhile.
pub(crate) async fn print_waiting() {
    let ideal = PLACES as f64 / CALL.as_secs_f64();
    let mut shares = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let rates = [bare_waiting().await, waiting(true).await, waiting(false).await];
        println!("  {rates:.0?} jobs/s");
        for (shares, rate) in shares.iter_mut().zip(rates) {
            shares.push(rate / ideal);
        }
    }
    let [bare, alone, whole] = shares.map(median);
    println!("{} waiting calls of {} ms, {JOBS} jobs, median of {ROUNDS}", PLACES, CALL.as_millis());
    println!("  share of the ideal {ideal:.0} jobs/s");
    println!("    bare loop, all in bulk       {bare:.3}");
    println!("    Fleetline's worker           {alone:.3}   {:.3} of the bare loop", alone / bare);
    println!("    beside its dispatcher        {whole:.3}");
}

async fn bare_waiting() -> f64 {
    let (pool, redis, jobs, body) = servers(JOBS).await;
    floor::warm_rate(&pool, &redis, jobs, body.as_bytes(), PLACES).await
}

/// From the first tenth to the last: the rate of a worker that is warm. `alone`: the dispatcher has put all jobs
/// on the line before, and is gone.
async fn waiting(alone: bool) -> f64 {
    let rig = Rig::new().await;
    let (run, dispatcher) = if alone {
        (rig.backlog(Work::Wait, JOBS).await, None)
    } else {
        let dispatcher = rig.dispatcher(Work::Wait, WINDOW);
        (rig.submit(Work::Wait, JOBS).await, Some(dispatcher))
    };
    let worker = rig.worker(Work::Wait, PLACES);
    let warm = wait_for(&rig, run, JOBS / 10).await;
    let started = Instant::now();
    let done = wait_for(&rig, run, JOBS * 9 / 10).await;
    let rate = (done - warm) as f64 / started.elapsed().as_secs_f64();
    rig.finished(Work::Wait, run).await;
    worker.end().await;
    if let Some(dispatcher) = dispatcher {
        dispatcher.end().await;
    }
    rig.remove().await;
    rate
}

async fn wait_for(rig: &Rig, run: fleetline_shared::domain::RunId, succeeded: u64) -> u64 {
    loop {
        let row = rig.ledger.run(run).await.expect("a row").expect("the run");
        if row.counts.succeeded >= succeeded {
            return row.counts.succeeded;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
