//! Jobs per second of a kind that does nothing, with all guarantees on, beside what the same
//! `SQLite` can do at most.

use std::path::Path;
use std::time::{Duration, Instant};

use fleetline::engine::{Embedded, EngineOptions};
use fleetline_producer::submit::submit;
use fleetline_producer::sweeper::SweepOptions;
use fleetline_shared::domain::{
    CallContext, Done, Estimate, JobError, Kind, NewJob, Registry, RunState, Source,
};
use fleetline_shared::ports::{DispatchLedger, QueryLedger, Scope, Seal, SubmitLedger};
use fleetline_shared::rules::dedup_key;
use fleetline_tests::conformance::ledger::prelude::{TENANT, new_run};
use fleetline_worker::WorkerOptions;
use rusqlite::{Connection, params};
use serde_json::{Value, json, value::to_raw_value};
use tokio::sync::mpsc;

const JOBS: u64 = 50_000;
const ARGS_BYTES: usize = 512;
const ROUNDS: usize = 3;
const RAW_BATCH: u64 = 256;

struct Noop;

impl Kind for Noop {
    const NAME: &'static str = "noop";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, _args: Value, _context: &CallContext) -> Result<Done<Value>, JobError> {
        Ok(Done::new(json!({ "ok": true })))
    }
}

pub(crate) async fn print() {
    println!("embedded throughput: {JOBS} no-op jobs, {ARGS_BYTES}-byte args, median of {ROUNDS}");
    let mut engine = Vec::new();
    let mut raw = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        raw.push(raw_inserts(&folder.path().join("raw.db")));
        engine.push(through_the_engine(&folder.path().join("fleetline.db")).await);
    }
    let (engine, raw) = (median(engine), median(raw));
    println!("  raw batched inserts     {raw:>9.0} rows/s  (one insert a job, {RAW_BATCH} a commit)");
    println!("  submit to last finish   {engine:>9.0} jobs/s");
    println!("  ratio                   {:>9.3}", engine / raw);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn job(seq: u64) -> NewJob {
    let args = json!({ "n": seq, "fill": "x".repeat(ARGS_BYTES) });
    NewJob {
        seq: Some(seq),
        kind: Noop::NAME.into(),
        args: to_raw_value(&args).expect("JSON"),
        dedup_key: dedup_key(Noop::NAME, [seq.to_string().as_str()]),
        priority: 0,
        upstream: None,
        estimate: Estimate::default(),
        source: Source::Lines { input: "bench".into(), first_line: seq, last_line: seq },
        occurrences: 1,
        max_attempts: 5,
        deadline: None,
        fresh_for: None,
    }
}

async fn through_the_engine(db: &Path) -> f64 {
    let embedded = Embedded::open(db, 20).await.expect("a database");
    let run = embedded.ledger.open_run(new_run(TENANT)).await.expect("a run").id;
    let engine = embedded.start(Registry::default().with(Noop), options(), Scope::Run(run));
    let (sender, inbox) = mpsc::channel(256);
    let started = Instant::now();
    let ledger = embedded.ledger.clone();
    let submitting = tokio::spawn(async move { submit(&ledger, run, job(0), inbox).await });
    for seq in 1..JOBS {
        sender.send(job(seq)).await.expect("the submission goes on");
    }
    drop(sender);
    submitting.await.expect("no panic").expect("submitted");
    embedded.ledger.seal_run(run, Seal::default()).await.expect("sealed");
    let mut changes = embedded.ledger.changes();
    loop {
        let row = embedded.ledger.run(run).await.expect("a row").expect("the run");
        if row.state == RunState::Finished {
            assert_eq!(row.counts.succeeded, JOBS);
            break;
        }
        changes.changed().await.expect("the ledger lives");
    }
    let rate = JOBS as f64 / started.elapsed().as_secs_f64();
    engine.drain().await.expect("drained");
    rate
}

fn options() -> EngineOptions {
    EngineOptions {
        worker: WorkerOptions {
            concurrency: 256,
            grace: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(30),
            renew_after: Duration::from_mins(1),
            hold: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            alone: true,
        },
        window: 512,
        poll: Duration::from_secs(1),
        sweep: SweepOptions {
            every: Duration::from_secs(30),
            stale_after: Duration::from_mins(10),
            max_losses: 20,
            left_after: None,
        },
        limits: std::collections::BTreeMap::new(),
        terms: std::collections::BTreeMap::new(),
        weights: fleetline_shared::domain::Weights::default(),
    }
}

/// What one durable row per job costs at the least: no states, no fences, no results.
fn raw_inserts(db: &Path) -> f64 {
    let connection = Connection::open(db).expect("a database");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    connection.pragma_update(None, "synchronous", "FULL").expect("FULL");
    connection
        .execute_batch("CREATE TABLE jobs (n INTEGER PRIMARY KEY, key BLOB UNIQUE, args TEXT)")
        .expect("a table");
    let started = Instant::now();
    let mut insert =
        connection.prepare("INSERT INTO jobs (n, key, args) VALUES (?1, ?2, ?3)").expect("a statement");
    for batch in 0..JOBS.div_ceil(RAW_BATCH) {
        connection.execute_batch("BEGIN").expect("begun");
        for seq in batch * RAW_BATCH..((batch + 1) * RAW_BATCH).min(JOBS) {
            let job = job(seq);
            insert
                .execute(params![seq.cast_signed(), job.dedup_key.as_bytes(), job.args.get()])
                .expect("inserted");
        }
        connection.execute_batch("COMMIT").expect("committed");
    }
    JOBS as f64 / started.elapsed().as_secs_f64()
}
