//! A fleet in one process: real servers, the same dispatcher and worker as in production.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::dispatcher::{DispatchOptions, Dispatcher, WindowBounds};
use fleetline_producer::submit::submit;
use fleetline_shared::domain::{
    CallContext, Done, Estimate, JobError, Kind, NewJob, Registry, RunId, RunState, Source, Weights,
};
use fleetline_shared::ports::{
    Broker, DispatchLedger, Leases, Limits, QueryLedger, Quotas, Rate, RunRow, Scope, Seal, SubmitLedger,
};
use fleetline_shared::postgres::PostgresLedger;
use fleetline_shared::rabbitmq::{RabbitBroker, RabbitOptions};
use fleetline_shared::redis::{Redis, RedisLeases, RedisOptions, RedisQuotas};
use fleetline_shared::rules::dedup_key;
use fleetline_tests::conformance::ledger::prelude::{TENANT, new_run};
use fleetline_tests::services::{Database, Vhost, shared};
use fleetline_worker::{Worker, WorkerError, WorkerOptions};
use serde_json::{Value, json, value::to_raw_value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::provider;

/// Bytes that fill the args of every job.
pub(crate) const ARGS_BYTES: usize = 512;
/// The upstream whose quota every job takes: far more than can be used, so that it is counted and
/// never waited for.
const UPSTREAM: &str = "bench";

/// Does nothing.
struct Noop;

impl Kind for Noop {
    const NAME: &'static str = "bench.noop";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, _args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        Ok(Done::new(json!({ "ok": true })))
    }
}

/// Waits for the [`provider`].
struct Wait;

impl Kind for Wait {
    const NAME: &'static str = "bench.wait";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, _args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        provider::call().await;
        Ok(Done::new(json!({ "ok": true })))
    }
}

/// Which kind of jobs.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    Noop,
    Wait,
}

impl Work {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Noop => Noop::NAME,
            Self::Wait => Wait::NAME,
        }
    }
}

/// Servers' places of its own, and adapters on them: as in a fleet the worker has its own, for what it does is no news to
/// a dispatcher in another process.
pub(crate) struct Rig {
    pub(crate) ledger: Arc<PostgresLedger>,
    pub(crate) broker: Arc<RabbitBroker>,
    pub(crate) redis: Redis,
    worker_ledger: Arc<PostgresLedger>,
    worker_broker: Arc<RabbitBroker>,
    database: Database,
    vhost: Vhost,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let urls = shared();
        let database = Database::new().await;
        let vhost = Vhost::new().await;
        let ledger = async || {
            let ledger = PostgresLedger::open(&database.options()).await;
            Arc::new(ledger.expect("a migrated database"))
        };
        let broker = async |name: &str| {
            let broker = RabbitBroker::new(&RabbitOptions::new(vhost.url.as_str(), name, name));
            let broker = broker.expect("a readable URL");
            broker.connected().await.expect("a broker");
            Arc::new(broker)
        };
        let prefix = format!("bench-{}", Uuid::now_v7().simple());
        let redis = Redis::new(RedisOptions { prefix, ..RedisOptions::new(urls.redis.as_str()) });
        Self {
            ledger: ledger().await,
            broker: broker("dispatcher").await,
            worker_ledger: ledger().await,
            worker_broker: broker("worker").await,
            redis: redis.expect("a readable URL"),
            database,
            vhost,
        }
    }

    pub(crate) async fn remove(self) {
        self.worker_broker.close().await;
        self.broker.close().await;
        self.vhost.remove().await;
    }

    fn quotas(&self) -> Arc<dyn Quotas> {
        let requests = Some(Rate { amount: 100_000_000, window: Duration::from_mins(1) });
        let limits = BTreeMap::from([(UPSTREAM.to_owned(), Limits { requests, ..Limits::default() })]);
        Arc::new(RedisQuotas::new(self.redis.clone(), limits))
    }

    pub(crate) fn registry() -> Registry {
        Registry::default().with(Noop).with(Wait)
    }

    /// Starts a worker for one kind.
    pub(crate) fn worker(&self, work: Work, concurrency: usize) -> Running {
        let leases: Arc<dyn Leases> = Arc::new(RedisLeases::new(self.redis.clone()));
        let worker = Worker {
            registry: Self::registry().only(&[work.kind().to_owned()]).expect("the kind is there"),
            ledger: self.worker_ledger.clone(),
            broker: self.worker_broker.clone(),
            leases: Arc::clone(&leases),
            spare_leases: leases,
            quotas: self.quotas(),
            terms: BTreeMap::new(),
            options: WorkerOptions {
                concurrency,
                grace: Duration::from_secs(10),
                lease_ttl: Duration::from_secs(30),
                renew_after: Duration::from_mins(1),
                hold: Duration::from_secs(1),
                patience: Duration::from_secs(30),
                alone: false,
            },
        };
        let drain = CancellationToken::new();
        let task = tokio::spawn(worker.run(drain.clone(), CancellationToken::new()));
        Running { drain, task }
    }

    /// Starts a dispatcher for one kind.
    pub(crate) fn dispatcher(&self, work: Work, window: WindowBounds) -> Dispatching {
        let dispatcher = Dispatcher {
            ledger: self.ledger.clone(),
            finishes: self.ledger.clone(),
            broker: self.broker.clone(),
            quotas: self.quotas(),
            kinds: vec![work.kind().to_owned()],
            options: DispatchOptions {
                scope: Scope::All,
                window,
                poll: Duration::from_secs(1),
                hold: Duration::from_secs(1),
                weights: Weights::default(),
                detours: BTreeSet::new(),
                upstreams: BTreeSet::new(),
            },
        };
        let drain = CancellationToken::new();
        Dispatching { drain: drain.clone(), task: tokio::spawn(dispatcher.run(drain)) }
    }

    /// Opens a run and adds its jobs; answers when all are accepted.
    pub(crate) async fn submit(&self, work: Work, jobs: u64) -> RunId {
        let run = self.open().await;
        let (sender, inbox) = mpsc::channel(1_000);
        let ledger = self.ledger.clone();
        let adding = tokio::spawn(async move { submit(&*ledger, run, job(work, run, 0), inbox).await });
        for seq in 1..jobs {
            sender.send(job(work, run, seq)).await.expect("the submission goes on");
        }
        drop(sender);
        adding.await.expect("no panic").expect("accepted");
        self.ledger.seal_run(run, Seal::default()).await.expect("sealed");
        run
    }

    /// A run whose jobs are all on the line; the dispatcher that put them there is gone.
    pub(crate) async fn backlog(&self, work: Work, jobs: u64) -> RunId {
        let all = usize::try_from(jobs).expect("few enough");
        let dispatcher = self.dispatcher(work, WindowBounds { least: 2 * all, most: 2 * all });
        let run = self.submit(work, jobs).await;
        self.line_is(work, all).await;
        dispatcher.end().await;
        run
    }

    async fn open(&self) -> RunId {
        self.ledger.open_run(new_run(TENANT)).await.expect("a run").id
    }

    /// Submits a single job as the intakes do.
    pub(crate) async fn submit_one(&self, work: Work) -> RunId {
        let run = new_run(TENANT);
        let jobs = vec![job(work, run.id, 0)];
        self.ledger.submit_run(run, jobs, Value::Null).await.expect("accepted").id
    }

    /// Waits until the run is finished and the line is empty: the last acknowledgement has arrived. Looks seldom
    /// enough to take nothing from a run of seconds.
    pub(crate) async fn finished(&self, work: Work, run: RunId) -> RunRow {
        loop {
            if let Some(row) = self.row_if_finished(run).await {
                self.line_is(work, 0).await;
                return row;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn row_if_finished(&self, run: RunId) -> Option<RunRow> {
        let row = self.ledger.run(run).await.expect("a row").expect("the run");
        (row.state == RunState::Finished).then_some(row)
    }

    /// Waits until the run is finished, told by whoever finishes it.
    pub(crate) async fn committed(&self, run: RunId) {
        let mut changes = self.worker_ledger.changes();
        loop {
            changes.mark_unchanged();
            if self.row_if_finished(run).await.is_some() {
                return;
            }
            tokio::select! { _ = changes.changed() => {}, () = sleep(Duration::from_millis(5)) => {} }
        }
    }

    /// Waits until so many messages are ready on the line.
    pub(crate) async fn line_is(&self, work: Work, ready: usize) {
        while self.broker.depth(work.kind()).await.expect("a depth").ready != ready {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// The database's URL, for measurements beside the adapters.
    pub(crate) fn database_url(&self) -> &str {
        &self.database.url
    }
}

/// A started worker.
pub(crate) struct Running {
    drain: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    pub(crate) async fn end(self) {
        self.drain.cancel();
        self.task.await.expect("no panic").expect("drained");
    }
}

/// A started dispatcher.
pub(crate) struct Dispatching {
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Dispatching {
    pub(crate) async fn end(self) {
        self.drain.cancel();
        self.task.await.expect("no panic");
    }
}

/// Number `seq` of the run; every job has a key of its own.
pub(crate) fn job(work: Work, run: RunId, seq: u64) -> NewJob {
    let args = json!({ "n": seq, "fill": "x".repeat(ARGS_BYTES) });
    NewJob {
        seq: Some(seq),
        kind: work.kind().into(),
        args: to_raw_value(&args).expect("JSON"),
        dedup_key: dedup_key(work.kind(), [run.to_string().as_str(), seq.to_string().as_str()]),
        priority: 0,
        upstream: Some(UPSTREAM.into()),
        estimate: Estimate::default(),
        source: Source::Lines { input: "bench".into(), first_line: seq, last_line: seq },
        occurrences: 1,
        max_attempts: 5,
        deadline: None,
        fresh_for: None,
    }
}
