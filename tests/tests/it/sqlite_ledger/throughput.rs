//! How fast the file takes jobs, against plain rows of the same size. A measurement, no check:
//! `cargo nextest run --cargo-profile fast --run-ignored only --no-capture -E 'test(throughput)'`

use std::path::Path;
use std::time::{Duration, Instant};

use fleetline_shared::domain::NewJob;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, finish_of, jobs, open as open_run, success, take,
};
use tokio::task::JoinSet;

use super::open;

const JOBS: u64 = 100_000;
const SUBMIT_BATCH: usize = 256;
const FINISH_BATCH: usize = 64;

fn rate(elapsed: Duration) -> f64 {
    JOBS as f64 / elapsed.as_secs_f64()
}

#[ignore = "measures"]
#[tokio::test(flavor = "multi_thread")]
async fn throughput_against_plain_inserts() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let submit_raw = rate(insert_plain(&folder.path().join("raw-256.db"), SUBMIT_BATCH));
    let finish_raw = rate(insert_plain(&folder.path().join("raw-64.db"), FINISH_BATCH));
    println!(
        "plain inserts, batches of {SUBMIT_BATCH}: {submit_raw:.0}/s, of {FINISH_BATCH}: {finish_raw:.0}/s"
    );
    for tasks in [1, 4] {
        let ledger = open(&folder.path().join(format!("ledger-{tasks}.db")));
        let submit = submit_all(&ledger).await;
        let work = work_all(&ledger, tasks).await;
        println!(
            "{tasks} task(s): submit {:.0}/s ({:.2} of plain), dispatch and finish {:.0}/s ({:.2} of plain), \
             all of it {:.0} jobs/s",
            rate(submit),
            rate(submit) / submit_raw,
            rate(work),
            rate(work) / finish_raw,
            rate(submit + work),
        );
    }
}

async fn submit_all(ledger: &Subject) -> Duration {
    let run = open_run(ledger, TENANT).await;
    let all = jobs("a", 1, JOBS);
    let batches: Vec<Vec<NewJob>> = all.chunks(SUBMIT_BATCH).map(<[NewJob]>::to_vec).collect();
    let start = Instant::now();
    for batch in batches {
        add(ledger, run, batch).await;
    }
    start.elapsed()
}

async fn work_all(ledger: &Subject, tasks: usize) -> Duration {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..tasks {
        let ledger = ledger.clone();
        workers.spawn(async move {
            loop {
                let taken = take(&ledger, FINISH_BATCH).await;
                if taken.is_empty() {
                    return;
                }
                let finishes = taken.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
                ledger.finish(finishes).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    start.elapsed()
}

/// The fields of a job and its result in one row, found by id, as safe as the ledger's commits.
fn insert_plain(path: &Path, batch: usize) -> Duration {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let columns = "id BLOB NOT NULL UNIQUE, kind TEXT, dedup_key BLOB, args TEXT, source TEXT, output TEXT";
    connection
        .execute_batch(&format!("CREATE TABLE rows (n INTEGER PRIMARY KEY, {columns}) STRICT"))
        .unwrap();
    let all = jobs("a", 1, JOBS);
    let start = Instant::now();
    for jobs in all.chunks(batch) {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO rows (id, kind, dedup_key, args, source, output) VALUES (?,?,?,?,?,?)",
            )
            .unwrap();
        for job in jobs {
            let id = uuid::Uuid::now_v7();
            let source = serde_json::to_string(&job.source).unwrap();
            let fields =
                (id.as_bytes(), &job.kind, job.dedup_key.as_bytes(), job.args.get(), source, "\"done\"");
            insert.execute(fields).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    start.elapsed()
}
