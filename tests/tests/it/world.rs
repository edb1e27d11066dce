//! The whole engine in this process, over a file: dispatcher, worker, quotas as in `fleetline run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fleetline::engine::{Embedded, EngineOptions, RunningEngine};
use fleetline_producer::sweeper::SweepOptions;
use fleetline_shared::domain::{KindPolicy, NewJob, NewRun, Registry, RunId, RunState, Source, Weights};
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::{
    DispatchLedger, JobFilter, JobRow, Limits, Page, QueryLedger, Scope, Seal, SubmitLedger,
};
use fleetline_shared::rules::Backoff;
use fleetline_worker::{Terms, WorkerOptions};
use serde_json::{Value, json, value::to_raw_value};
use tempfile::TempDir;

/// Attempts follow each other at once.
pub(crate) fn policy() -> KindPolicy {
    let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(1) };
    KindPolicy { backoff, ..KindPolicy::default() }
}

/// What waits on its line for longer begins its time anew.
pub(crate) const RENEW_AFTER: Duration = Duration::from_millis(10);

const FILE: &str = "fleetline.db";

/// What is known of one upstream.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) limits: Limits,
    pub(crate) terms: Terms,
}

/// A running engine with one worker that makes one call at a time.
pub(crate) struct World {
    registry: Registry,
    pub(crate) ledger: SqliteLedger,
    _engine: RunningEngine,
    _embedded: Embedded,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start(registry: &Registry, upstreams: BTreeMap<String, Known>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let embedded = Embedded::open(&folder.path().join(FILE), 5).await.expect("a database");
        let limits = upstreams.iter().map(|(name, known)| (name.clone(), known.limits.clone())).collect();
        let terms = upstreams.into_iter().map(|(name, known)| (name, known.terms)).collect();
        let options = EngineOptions {
            worker: WorkerOptions {
                concurrency: 1,
                grace: Duration::from_secs(5),
                lease_ttl: Duration::from_secs(30),
                renew_after: RENEW_AFTER,
                hold: Duration::from_secs(1),
                patience: Duration::from_secs(5),
                alone: true,
            },
            window: 16,
            poll: Duration::from_millis(100),
            sweep: SweepOptions {
                every: Duration::from_mins(1),
                stale_after: Duration::from_mins(10),
                max_losses: 5,
                left_after: None,
            },
            limits,
            terms,
            weights: Weights::default(),
        };
        let engine = embedded.start(registry.clone(), options, Scope::All);
        let ledger = embedded.ledger.clone();
        Self { registry: registry.clone(), ledger, _engine: engine, _embedded: embedded, folder }
    }

    /// The database.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// A job as an intake makes it of its args.
    pub(crate) fn job(&self, kind: &str, args: &impl serde::Serialize) -> NewJob {
        let args = to_raw_value(args).expect("plain JSON");
        let appraisal = self.registry.get(kind).expect("registered").appraise(&args).expect("good args");
        NewJob {
            seq: None,
            kind: kind.to_owned(),
            args,
            dedup_key: appraisal.dedup_key,
            priority: 0,
            upstream: appraisal.upstream,
            estimate: appraisal.estimate,
            source: Source::Request { index: 0 },
            occurrences: 1,
            max_attempts: 3,
            deadline: None,
            fresh_for: Some(Duration::ZERO),
        }
    }

    /// Submits them as one run.
    pub(crate) async fn submit(&self, jobs: Vec<NewJob>) -> RunId {
        let run = NewRun {
            id: RunId::new(),
            tenant: "t".into(),
            pipeline: "jobs".into(),
            input: "test".into(),
            idempotency_key: None,
            once: false,
            settings: Value::Null,
        };
        let run = self.ledger.open_run(run).await.expect("a run").id;
        let numbered = (0..).zip(jobs).map(|(seq, job)| NewJob { seq: Some(seq), ..job });
        self.ledger.add_jobs(run, numbered.collect()).await.expect("jobs");
        self.ledger.seal_run(run, Seal { occurrences: Vec::new(), notes: json!({}) }).await.expect("sealed");
        run
    }

    /// The run's jobs, as soon as all are as they should be.
    pub(crate) async fn until(&self, run: RunId, is_so: impl Fn(&[JobRow]) -> bool) -> Vec<JobRow> {
        let mut changes = self.ledger.changes();
        let filter = JobFilter { run: Some(run), with_results: true, ..JobFilter::default() };
        loop {
            changes.mark_unchanged();
            let rows = self.ledger.jobs(filter.clone(), Page::first(1_000)).await.expect("jobs");
            if is_so(&rows) {
                return rows;
            }
            // A job that goes back for later wakes nobody, so the clock does.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    }

    /// The run's jobs at its end.
    pub(crate) async fn finished(&self, run: RunId) -> Vec<JobRow> {
        let rows = self.until(run, |rows| rows.iter().all(|row| row.state.is_terminal())).await;
        let state = self.ledger.run(run).await.expect("a ledger").expect("the run").state;
        assert_eq!(state, RunState::Finished);
        rows
    }

    /// The same for a run of one job.
    pub(crate) async fn done(&self, job: NewJob) -> JobRow {
        let run = self.submit(vec![job]).await;
        self.finished(run).await.remove(0)
    }
}
