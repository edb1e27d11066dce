//! Short words for the checks, and for tests of an adapter's own.

use std::time::Duration;

use fleetline_shared::domain::{
    DeadReason, Decision, Done, Envelope, ErasedDone, Estimate, JobState, NewJob, NewRun, RunCounts, RunId,
    RunState, Source, Usage, Weights,
};
use fleetline_shared::ports::{
    Added, DispatchAsk, Finish, Finished, JobFilter, JobRow, Page, RunRow, Scope, Seal,
};
use fleetline_shared::rules::dedup_key;
use serde_json::{Value, json, value::RawValue};

use super::Subject;

/// Whose the runs are, if nothing else is said.
pub const TENANT: &str = "acme";
/// The kind of [`job`].
pub const KIND: &str = "test.kind";
/// Long enough that no test sees its end.
pub const HOUR: Duration = Duration::from_hours(1);

/// A run without an idempotency key.
pub fn new_run(tenant: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        tenant: tenant.into(),
        pipeline: "plan".into(),
        input: "input.txt".into(),
        idempotency_key: None,
        once: false,
        settings: json!({"analyser": "none"}),
    }
}

/// Number `seq` of its run; jobs with the same key are twins.
pub fn job(seq: u64, key: &str) -> NewJob {
    NewJob {
        seq: Some(seq),
        kind: KIND.into(),
        args: raw(&format!(r#"{{"seq":{seq}}}"#)),
        dedup_key: dedup_key(KIND, [key]),
        priority: 0,
        upstream: None,
        estimate: Estimate { input_tokens: 3, output_tokens: 4 },
        source: Source::Lines { input: "input.txt".into(), first_line: seq, last_line: seq },
        occurrences: 1,
        max_attempts: 3,
        deadline: None,
        fresh_for: None,
    }
}

/// Jobs `from..=to`, each with a key of its own that begins with `key`.
pub fn jobs(key: &str, from: u64, to: u64) -> Vec<NewJob> {
    (from..=to).map(|seq| job(seq, &format!("{key}-{seq}"))).collect()
}

/// The JSON text as args or output.
pub fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}

/// Opens a run of the tenant.
pub async fn open(ledger: &Subject, tenant: &str) -> RunId {
    ledger.open_run(new_run(tenant)).await.unwrap().id
}

/// Adds jobs to a run.
pub async fn add(ledger: &Subject, run: RunId, jobs: Vec<NewJob>) -> Added {
    ledger.add_jobs(run, jobs).await.unwrap()
}

/// A run of these jobs, sealed.
pub async fn run_of(ledger: &Subject, jobs: Vec<NewJob>) -> RunId {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs).await;
    ledger.seal_run(run, Seal::default()).await.unwrap();
    run
}

/// A run with jobs of these tokens, over and over.
pub async fn run_with(ledger: &Subject, tenant: &str, number: u64, tokens: &[u64]) -> RunId {
    let run = open(ledger, tenant).await;
    let jobs = jobs(&run.to_string(), 1, number).into_iter().zip(tokens.iter().cycle());
    let of_size = |(job, tokens): (NewJob, &u64)| NewJob {
        estimate: Estimate { input_tokens: *tokens, output_tokens: 0 },
        upstream: Some("api".into()),
        ..job
    };
    add(ledger, run, jobs.map(of_size).collect()).await;
    run
}

/// A request for jobs of [`KIND`].
pub fn ask(scope: Scope, limit: usize) -> DispatchAsk {
    DispatchAsk { scope, kind: KIND.into(), limit, skip_upstreams: Vec::new(), weights: Weights::default() }
}

/// An ask for so many jobs of tenants with these weights.
pub fn weighted(limit: usize, weights: &[(&str, u32)]) -> DispatchAsk {
    let weights = weights.iter().map(|(tenant, weight)| ((*tenant).to_owned(), *weight));
    DispatchAsk { weights: weights.collect(), ..ask(Scope::All, limit) }
}

/// Dispatches up to `limit` jobs of any run.
pub async fn take(ledger: &Subject, limit: usize) -> Vec<Envelope> {
    ledger.dispatch(ask(Scope::All, limit)).await.unwrap()
}

/// Estimated tokens of the jobs that are a tenant's.
pub fn tokens_of(taken: &[Envelope], tenant: &str) -> u64 {
    taken.iter().filter(|job| job.tenant == tenant).map(|job| job.estimate.total()).sum()
}

/// The one job that is due.
pub async fn take_one(ledger: &Subject) -> Envelope {
    let mut taken = take(ledger, 10).await;
    assert_eq!(taken.len(), 1, "one job is due");
    taken.remove(0)
}

/// The args that a message carries.
pub fn args_of(envelope: &Envelope) -> &RawValue {
    envelope.args.as_ref().expect("a dispatch reads the args")
}

/// The number that [`job`] wrote into the args.
pub fn seq_of(envelope: &Envelope) -> u64 {
    let args: Value = serde_json::from_str(args_of(envelope).get()).unwrap();
    args["seq"].as_u64().unwrap()
}

/// The numbers of all, in order.
pub fn seqs(envelopes: &[Envelope]) -> Vec<u64> {
    envelopes.iter().map(seq_of).collect()
}

/// A result without facts and follow-ups.
pub fn done(output: &str) -> ErasedDone {
    Done { analyser: "tester".into(), model: Some("m1".into()), ..Done::new(raw(&json!(output).to_string())) }
}

/// The decision to store that result.
pub fn success(output: &str) -> Decision {
    Decision::Succeed(done(output))
}

/// Back to ready, one attempt counted.
pub fn retry(delay: Duration) -> Decision {
    Decision::Retry { delay, error: "it broke".into() }
}

/// Back to ready, no attempt counted.
pub fn snooze(delay: Duration) -> Decision {
    Decision::Snooze { delay, why: "quota".into() }
}

/// Dead for that reason.
pub fn die(reason: DeadReason) -> Decision {
    Decision::Die { reason, error: format!("dead of {reason}") }
}

/// One call that used some tokens.
pub const ONE_CALL: Usage = Usage { calls: 1, input_tokens: 10, output_tokens: 5 };

/// What a worker reports of this dispatch, after one call.
pub fn finish_of(envelope: &Envelope, decision: Decision) -> Finish {
    Finish { job: envelope.job_id, fence: envelope.fence, decision, usage: ONE_CALL }
}

/// Finishes one job; the ledger must accept it.
pub async fn record(ledger: &Subject, envelope: &Envelope, decision: Decision) {
    let answers = ledger.finish(vec![finish_of(envelope, decision)]).await.unwrap();
    assert_eq!(answers, [Finished::Recorded]);
    check_counters(ledger).await;
}

/// All jobs of a run with their results, in order.
pub async fn rows(ledger: &Subject, run: RunId) -> Vec<JobRow> {
    let filter = JobFilter { run: Some(run), with_results: true, ..JobFilter::default() };
    let mut rows: Vec<JobRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.position);
        let page = ledger.jobs(filter.clone(), Page { after, limit: 1000 }).await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// The states of a run's jobs, in order.
pub async fn states(ledger: &Subject, run: RunId) -> Vec<JobState> {
    check_counters(ledger).await;
    rows(ledger, run).await.iter().map(|row| row.state).collect()
}

/// The run, which must be there.
pub async fn run_row(ledger: &Subject, run: RunId) -> RunRow {
    ledger.run(run).await.unwrap().expect("the run is there")
}

/// How far the run is.
pub async fn run_state(ledger: &Subject, run: RunId) -> RunState {
    run_row(ledger, run).await.state
}

/// Every run's counters say what its rows say, and its state what its counters say.
pub async fn check_counters(ledger: &Subject) {
    for run in ledger.runs(None, Page::first(1000)).await.unwrap() {
        let rows = rows(ledger, run.id).await;
        let kept = RunCounts { retries: 0, ..run.counts };
        assert_eq!(kept, recount(&rows), "counters of {run:?}");
        check_retries(&run, &rows);
        match run.state {
            RunState::Open => assert!(run.finished_at_ms.is_none(), "{run:?}"),
            RunState::Running => assert!(run.counts.terminal() < run.counts.jobs, "{run:?}"),
            RunState::Finished => {
                assert_eq!(run.counts.terminal(), run.counts.jobs, "{run:?}");
                assert!(run.finished_at_ms.is_some(), "{run:?}");
            }
        }
    }
}

fn recount(rows: &[JobRow]) -> RunCounts {
    let mut counts = RunCounts::default();
    for row in rows {
        counts.jobs += 1;
        counts.occurrences += row.occurrences;
        counts.usage += row.usage;
        counts.reused += u64::from(row.reused);
        match row.state {
            JobState::Succeeded => counts.succeeded += 1,
            JobState::Dead => counts.dead += 1,
            JobState::Cancelled => counts.cancelled += 1,
            JobState::Ready | JobState::Dispatched | JobState::Attached => {}
        }
        assert!(!row.reused || row.state == JobState::Succeeded, "{row:?}");
        assert_eq!(row.dead_reason.is_some(), row.state == JobState::Dead, "{row:?}");
    }
    counts
}

/// A counted attempt was a retry, unless it was the job's last. Whether the death of a deadline or
/// a crash loop was an attempt, the row does not say.
fn check_retries(run: &RunRow, rows: &[JobRow]) {
    let (mut least, mut at_most) = (0, 0);
    for row in rows {
        let ending = match (row.state, row.dead_reason) {
            (JobState::Succeeded, _) => (u64::from(!row.reused), u64::from(!row.reused)),
            (_, Some(DeadReason::DeadlinePassed | DeadReason::CrashLoop)) => (1, 0),
            // Dead by its twin's fault: no attempt of its own.
            (_, Some(_)) => (1, u64::from(row.attempts > 0)),
            _ => (0, 0),
        };
        least += u64::from(row.attempts).saturating_sub(ending.0);
        at_most += u64::from(row.attempts).saturating_sub(ending.1);
    }
    assert!((least..=at_most).contains(&run.counts.retries), "{least}..={at_most} retries: {run:?}");
}
