//! No-op jobs through the whole path with all guarantees, beside the floor.

use std::time::Instant;

use fleetline_producer::dispatcher::WindowBounds;
use fleetline_tests::services::shared;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use sqlx::PgPool;

use crate::cpu::Cpu;
use crate::floor::{self, Calls, From};
use crate::plain::{self, Part};
use crate::rig::{ARGS_BYTES, Rig, Work};

const JOBS: u64 = 40_000;
const ROUNDS: usize = 3;
const CONCURRENCY: usize = 1_000;

/// Prints the floors, the plain worker, and Fleetline's worker path and end to end.
pub(crate) async fn print() {
    println!("fleet throughput: {JOBS} no-op jobs, {ARGS_BYTES}-byte args, median of {ROUNDS}");
    let mut rates = [const { Vec::new() }; 7];
    for round in 1..=ROUNDS {
        let own = [
            bare(Calls::None, From::Backlog).await,
            bare(Calls::Empty(CONCURRENCY), From::Backlog).await,
            plain(Part::Work).await,
            worker_path().await,
        ];
        let published = bare(Calls::Empty(CONCURRENCY), From::Publish).await;
        let whole = [published, plain(Part::Whole).await, end_to_end().await];
        println!("  round {round}: {:.0?}", [&own[..], &whole[..]].concat());
        for (rates, rate) in rates.iter_mut().zip(own.into_iter().chain(whole)) {
            rates.push(rate);
        }
    }
    let [bulk, bare, plain_work, worker, published, plain_whole, whole] = rates.map(median);
    println!("  from a backlog on the line to the last ack, and Fleetline's as a share of it");
    println!("    all in bulk, without calls   {bulk:>8.0} jobs/s   {:.2}", worker / bulk);
    println!("    bare loop                    {bare:>8.0} jobs/s   {:.2}", worker / bare);
    println!("    plain worker, the same steps {plain_work:>8.0} jobs/s   {:.2}", worker / plain_work);
    println!("    Fleetline's worker path      {worker:>8.0} jobs/s");
    println!("  from submit to the last ack");
    println!("    bare loop and publishes      {published:>8.0} jobs/s   {:.2}", whole / published);
    println!("    plain submit and worker      {plain_whole:>8.0} jobs/s   {:.2}", whole / plain_whole);
    println!(
        "    Fleetline                    {whole:>8.0} jobs/s   {:.2} of the bare loop alone",
        whole / bare
    );
}

/// Ways to the servers, and as many jobs of one body.
pub(crate) async fn servers(jobs: u64) -> (PgPool, MultiplexedConnection, usize, String) {
    let urls = shared();
    let pool = PgPool::connect(&urls.postgres).await.expect("Postgres");
    let client = redis::Client::open(urls.redis.as_str()).expect("a readable URL");
    let redis = client.get_multiplexed_async_connection().await.expect("Redis");
    let body = json!({ "n": 0, "fill": "x".repeat(ARGS_BYTES) }).to_string();
    (pool, redis, usize::try_from(jobs).expect("few enough"), body)
}

async fn bare(calls: Calls, from: From) -> f64 {
    let (pool, redis, jobs, body) = servers(JOBS).await;
    floor::rate(&pool, &redis, jobs, body.as_bytes(), (calls, from)).await
}

async fn plain(part: Part) -> f64 {
    let (pool, redis, jobs, body) = servers(JOBS).await;
    plain::rate(&pool, &redis, part, jobs, &body).await
}

/// The whole backlog is on the line before the worker starts.
async fn worker_path() -> f64 {
    let rig = Rig::new().await;
    let run = rig.backlog(Work::Noop, JOBS).await;
    let (started, cpu) = (Instant::now(), Cpu::now());
    let worker = rig.worker(Work::Noop, CONCURRENCY);
    let row = rig.finished(Work::Noop, run).await;
    let rate = JOBS as f64 / started.elapsed().as_secs_f64();
    println!("  worker path, {}", cpu.since(JOBS));
    assert_eq!(row.counts.succeeded, JOBS);
    worker.end().await;
    rig.remove().await;
    rate
}

async fn end_to_end() -> f64 {
    let rig = Rig::new().await;
    let dispatcher = rig.dispatcher(Work::Noop, WindowBounds { least: 64, most: 10_000 });
    let worker = rig.worker(Work::Noop, CONCURRENCY);
    let (started, cpu) = (Instant::now(), Cpu::now());
    let run = rig.submit(Work::Noop, JOBS).await;
    let row = rig.finished(Work::Noop, run).await;
    let rate = JOBS as f64 / started.elapsed().as_secs_f64();
    println!("  end to end, {}", cpu.since(JOBS));
    assert_eq!(row.counts.succeeded, JOBS);
    worker.end().await;
    dispatcher.end().await;
    rig.remove().await;
    rate
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
