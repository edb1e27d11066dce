//! How fast the ledger takes, hands out and records jobs, at a short and at a long backlog. A
//! measurement, no check:
//! `cargo nextest run --cargo-profile fast --run-ignored only --no-capture -E 'test(postgres_ledger::throughput)'`

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetline_shared::domain::{Envelope, NewJob};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{TENANT, add, finish_of, job, open, raw, success, take};
use tokio::task::JoinSet;

use fleetline_tests::services::Database;

const BATCH: u64 = 256;
const JOBS: u64 = 40 * 1024;

fn large(seq: u64, key: &str) -> NewJob {
    let args = format!(r#"{{"seq":{seq},"text":"{}"}}"#, "x".repeat(490));
    NewJob { args: raw(&args), upstream: Some("llm".into()), ..job(seq, key) }
}

fn batches(name: &str, jobs: u64) -> Vec<Vec<NewJob>> {
    let all: Vec<NewJob> = (1..=jobs).map(|seq| large(seq, &format!("{name}-{seq}"))).collect();
    all.chunks(usize::try_from(BATCH).unwrap()).map(<[NewJob]>::to_vec).collect()
}

fn rate(jobs: u64, time: Duration) -> f64 {
    jobs as f64 / time.as_secs_f64()
}

/// Adds to a run of its own with two tasks' worth of connections.
async fn add_all(ledger: &Subject, name: &str, jobs: u64) -> Duration {
    let run = open(ledger, TENANT).await;
    let batches = batches(name, jobs);
    let start = Instant::now();
    for batch in batches {
        add(ledger, run, batch).await;
    }
    start.elapsed()
}

async fn dispatch_all(ledger: &Subject, jobs: u64) -> (Duration, Vec<Vec<Envelope>>) {
    let start = Instant::now();
    let mut all = Vec::new();
    for _ in 0..jobs / BATCH {
        all.push(take(ledger, usize::try_from(BATCH).unwrap()).await);
    }
    (start.elapsed(), all)
}

async fn finish_all(ledger: &Subject, taken: Vec<Vec<Envelope>>, tasks: usize) -> Duration {
    let groups: Vec<Vec<_>> = taken
        .iter()
        .map(|batch| batch.iter().map(|envelope| finish_of(envelope, success("done"))).collect())
        .collect();
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for groups in groups.chunks(groups.len().div_ceil(tasks)) {
        let (ledger, groups) = (ledger.clone(), groups.to_vec());
        workers.spawn(async move {
            for group in groups {
                ledger.finish(group).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    start.elapsed()
}

/// All three at the same time, as in a fleet.
async fn together(ledger: &Subject, name: &str) -> Duration {
    let start = Instant::now();
    let adding = tokio::spawn({
        let (ledger, name) = (ledger.clone(), name.to_owned());
        async move { add_all(&ledger, &name, JOBS).await }
    });
    let mut working = JoinSet::new();
    for _ in 0..2 {
        let (ledger, mut left) = (ledger.clone(), JOBS / BATCH / 2);
        working.spawn(async move {
            while left > 0 {
                let taken = take(&ledger, usize::try_from(BATCH).unwrap()).await;
                if taken.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                left -= 1;
                let group = taken.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
                ledger.finish(group).await.unwrap();
            }
        });
    }
    working.join_all().await;
    adding.await.unwrap();
    start.elapsed()
}

#[ignore = "measures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates() {
    for backlog in [1_024, 300_032] {
        let database = Database::new().await;
        let ledger: Subject = Arc::new(database.open().await);
        add_all(&ledger, "backlog", backlog).await;
        for round in 1..=2 {
            let added = add_all(&ledger, &format!("round {round}"), JOBS).await;
            let (dispatched, taken) = dispatch_all(&ledger, JOBS).await;
            let finished = finish_all(&ledger, taken, 1).await;
            let (_, taken) = {
                add_all(&ledger, &format!("more {round}"), JOBS).await;
                dispatch_all(&ledger, JOBS).await
            };
            let finished_by_two = finish_all(&ledger, taken, 2).await;
            let together = together(&ledger, &format!("together {round}")).await;
            println!(
                "backlog {backlog}: add {:.0}/s, dispatch {:.0}/s, finish {:.0}/s (two tasks {:.0}/s), one after \
                 the other {:.0} jobs/s, all at once {:.0} jobs/s",
                rate(JOBS, added),
                rate(JOBS, dispatched),
                rate(JOBS, finished),
                rate(JOBS, finished_by_two),
                rate(JOBS, added + dispatched + finished),
                rate(JOBS, together),
            );
        }
    }
}
