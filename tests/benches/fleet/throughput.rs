//! No-op jobs through the whole path with all guarantees, beside the floor.

use std::time::Instant;

use fleetline_producer::dispatcher::WindowBounds;
use fleetline_tests::services::shared;
use serde_json::json;
use sqlx::PgPool;

use crate::cpu::Cpu;
use crate::floor;
use crate::rig::{ARGS_BYTES, Rig, Work};

const JOBS: u64 = 40_000;
const ROUNDS: usize = 3;
const CONCURRENCY: usize = 1_000;

/// Prints floor, worker path and end to end.
pub(crate) async fn print() {
    println!("fleet throughput: {JOBS} no-op jobs, {ARGS_BYTES}-byte args, median of {ROUNDS}");
    let (mut bare, mut worker, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        bare.push(floor_rate().await);
        worker.push(worker_path().await);
        whole.push(end_to_end().await);
        println!(
            "  round {round}: floor {:.0}, worker path {:.0}, end to end {:.0}",
            bare[round - 1],
            worker[round - 1],
            whole[round - 1]
        );
    }
    let (bare, worker, whole) = (median(bare), median(worker), median(whole));
    println!("  bare loop (floor)              {bare:>8.0} jobs/s");
    println!("  worker path, backlog on line   {worker:>8.0} jobs/s   {:.2} of the floor", worker / bare);
    println!("  submit to last ack             {whole:>8.0} jobs/s   {:.2} of the floor", whole / bare);
}

async fn floor_rate() -> f64 {
    let urls = shared();
    let pool = PgPool::connect(&urls.postgres).await.expect("Postgres");
    let client = redis::Client::open(urls.redis.as_str()).expect("a readable URL");
    let redis = client.get_multiplexed_async_connection().await.expect("Redis");
    let body = json!({ "n": 0, "fill": "x".repeat(ARGS_BYTES) }).to_string();
    let jobs = usize::try_from(JOBS).expect("few enough");
    floor::rate(&pool, &redis, jobs, body.as_bytes()).await
}

/// The whole backlog is on the line before the worker starts.
async fn worker_path() -> f64 {
    let rig = Rig::new().await;
    let jobs = usize::try_from(JOBS).expect("few enough");
    let dispatcher = rig.dispatcher(Work::Noop, WindowBounds { least: 2 * jobs, most: 2 * jobs });
    let run = rig.submit(Work::Noop, JOBS).await;
    rig.line_is(Work::Noop, jobs).await;
    dispatcher.end().await;
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
