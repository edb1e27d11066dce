//! Several processes on one backlog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, JobState, NewJob, RunId, RunState};
use fleetline_shared::ports::{Added, CancelJobs, Finished, Scope, Seal};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, check_counters, finish_of, job, jobs, new_run, open, retry, rows, run_row, snooze, states,
    success, take,
};
use tokio::task::JoinSet;

use fleetline_tests::services::Database;

/// Two ledgers with connections of their own, as two processes have.
async fn two(database: &Database) -> [Subject; 2] {
    [Arc::new(database.open().await), Arc::new(database.open().await)]
}

/// Every third success comes after a snooze, every third after a retry.
fn decision(envelope: &Envelope) -> Decision {
    match (envelope.fence, u128::from_be_bytes(*envelope.job_id.as_bytes()) % 3) {
        (1, 0) => snooze(Duration::ZERO),
        (1, 1) => retry(Duration::ZERO),
        _ => success("done"),
    }
}

async fn work_off(ledger: Subject, limit: usize) -> BTreeMap<(String, u64), u32> {
    let mut recorded = BTreeMap::new();
    loop {
        let taken = take(&ledger, limit).await;
        if taken.is_empty() {
            return recorded;
        }
        let group = taken.iter().map(|envelope| finish_of(envelope, decision(envelope))).collect();
        for (envelope, answer) in taken.iter().zip(ledger.finish(group).await.unwrap()) {
            assert_eq!(answer, Finished::Recorded);
            *recorded.entry((envelope.job_id.to_string(), envelope.fence)).or_default() += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_a_backlog() {
    let database = Database::new().await;
    let ledgers = two(&database).await;
    let mut runs = Vec::new();
    for n in 0..3 {
        let run = open(&ledgers[0], TENANT).await;
        add(&ledgers[0], run, jobs(&format!("run {n}"), 1, 1000)).await;
        ledgers[0].seal_run(run, Seal::default()).await.unwrap();
        runs.push(run);
    }
    let mut workers = JoinSet::new();
    for (n, ledger) in ledgers.iter().cycle().take(6).enumerate() {
        workers.spawn(work_off(ledger.clone(), 20 + 13 * n));
    }
    let mut all: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for recorded in workers.join_all().await {
        for (dispatch, count) in recorded {
            *all.entry(dispatch).or_default() += count;
        }
    }
    // One that found nothing may have left before the last was put back.
    for (dispatch, count) in work_off(ledgers[0].clone(), 500).await {
        *all.entry(dispatch).or_default() += count;
    }
    assert!(all.values().all(|count| *count == 1), "each dispatch was given to one");
    for run in runs {
        assert!(rows(&ledgers[1], run).await.iter().all(|row| row.state == JobState::Succeeded));
        let counts = run_row(&ledgers[1], run).await.counts;
        assert_eq!((counts.succeeded, counts.jobs), (1000, 1000));
    }
    check_counters(&ledgers[1]).await;
}

/// Of the same keys, in different orders, into runs of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_submit_the_same_keys() {
    let database = Database::new().await;
    let ledgers = two(&database).await;
    let mut tasks = JoinSet::new();
    for n in 0..8_usize {
        let ledger = ledgers[n % 2].clone();
        tasks.spawn(async move {
            let run = open(&ledger, TENANT).await;
            let mut batch = jobs("same", 1, 300);
            batch.rotate_left(n * 37);
            if n % 2 == 1 {
                batch.reverse();
            }
            add(&ledger, run, batch).await
        });
    }
    let mut sum = Added::default();
    for added in tasks.join_all().await {
        sum += added;
    }
    assert_eq!(sum, Added { ready: 300, attached: 2100, ..Added::default() });
    check_counters(&ledgers[0]).await;
}

/// A client that sends its request again while the first is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_submit_the_same_numbers_to_one_run() {
    let database = Database::new().await;
    let ledgers = two(&database).await;
    let run = open(&ledgers[0], TENANT).await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let ledger = ledgers[n % 2].clone();
        tasks.spawn(async move { ledger.add_jobs(run, jobs("same", 1, 300)).await.unwrap() });
    }
    let mut sum = Added::default();
    for added in tasks.join_all().await {
        sum += added;
    }
    assert_eq!(sum, Added { ready: 300, known: 2100, ..Added::default() });
    check_counters(&ledgers[0]).await;
}

/// One run of each key, whoever opens it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_open_the_same_key() {
    let database = Database::new().await;
    let ledgers = two(&database).await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let ledger = ledgers[n % 2].clone();
        tasks.spawn(async move {
            let run =
                fleetline_shared::domain::NewRun { idempotency_key: Some("k".into()), ..new_run(TENANT) };
            ledger.open_run(run).await.unwrap()
        });
    }
    let opened = tasks.join_all().await;
    assert_eq!(opened.iter().filter(|run| !run.resumed).count(), 1);
    assert!(opened.iter().all(|run| run.id == opened[0].id));
}

/// Submissions of the same keys, finishes, cancels and sweeps, all at once: nobody fails, nothing is
/// left behind, counters are rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once() {
    let database = Database::new().await;
    let ledgers = two(&database).await;
    let mut tasks = JoinSet::new();
    for n in 0..4_usize {
        let ledger = ledgers[n % 2].clone();
        tasks.spawn(async move { submit_and_cancel(&ledger, n).await });
    }
    for n in 0..3_usize {
        let ledger = ledgers[n % 2].clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                let taken = take(&ledger, 50).await;
                let group = taken.iter().map(|envelope| finish_of(envelope, decision(envelope))).collect();
                ledger.finish(group).await.unwrap();
                ledger.sweep(Scope::All, Duration::ZERO, 100).await.unwrap();
            }
            Vec::new()
        });
    }
    let runs: Vec<RunId> = tasks.join_all().await.into_iter().flatten().collect();
    ledgers[0].sweep(Scope::All, Duration::ZERO, 100).await.unwrap();
    work_off(ledgers[1].clone(), 500).await;
    for run in runs {
        assert!(states(&ledgers[0], run).await.into_iter().all(JobState::is_terminal));
        assert_eq!(run_row(&ledgers[0], run).await.state, RunState::Finished);
    }
}

async fn submit_and_cancel(ledger: &Subject, n: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for round in 0..10 {
        let run = open(ledger, TENANT).await;
        let mut batch: Vec<NewJob> = (1..=40).map(|seq| job(seq, &format!("{}", seq / 2 + round))).collect();
        batch.rotate_left(n * 7);
        add(ledger, run, batch).await;
        ledger.seal_run(run, Seal::default()).await.unwrap();
        if (round + n as u64).is_multiple_of(3) {
            ledger.cancel(TENANT, CancelJobs::Run(run)).await.unwrap();
        }
        runs.push(run);
    }
    runs
}
