//! Embedded mode: the same dispatcher, attempt path and messages as in a fleet, on adapters for
//! one process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::dispatcher::{DispatchOptions, Dispatcher, WindowBounds};
use fleetline_producer::sweeper::{self, SweepOptions};
use fleetline_shared::domain::{Decision, Envelope, PortError, Registry, Usage, Weights};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{
    BacklogLedger, BreakerReport, Broker, DispatchLedger, Finish, FinishLedger, Limits, Quotas, Scope,
    UpstreamReport,
};
use fleetline_worker::{OnOpen, Terms, Worker, WorkerError, WorkerOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::paths::resolved;

/// How long the end of a process waits for its database to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// End of the lock file's name.
const LOCK: &str = ".lock";

/// What an embedded engine is made of.
pub struct EngineOptions {
    /// Limits of the worker.
    pub worker: WorkerOptions,
    /// Messages that may wait on a line.
    pub window: usize,
    /// The longest time between two looks at the ledger.
    pub poll: Duration,
    /// The sweeper's limits.
    pub sweep: SweepOptions,
    /// Quotas by upstream.
    pub limits: BTreeMap<String, Limits>,
    /// What is settled about their calls.
    pub terms: BTreeMap<String, Terms>,
    /// How tenants share the lines.
    pub weights: Weights,
}

/// An open database that this process alone works on.
pub struct Embedded {
    /// The ledger.
    pub ledger: SqliteLedger,
    /// Held as long as the process works; the system frees it however the process ends.
    _lock: File,
}

impl Embedded {
    /// Opens the database, and puts back what a process that died had under way.
    pub async fn open(db: &Path, max_losses: u16) -> Result<Self, PortError> {
        let lock = lock(db)?;
        let ledger = SqliteLedger::open(db)?;
        // Nobody else works on this database, so whatever is dispatched is lost.
        let swept = ledger.sweep(Scope::All, Duration::ZERO, max_losses).await?;
        if swept.requeued + swept.crash_looped > 0 {
            tracing::info!(requeued = swept.requeued, dead = swept.crash_looped, "resumed after a crash");
        }
        Ok(Self { ledger, _lock: lock })
    }

    /// Starts dispatcher, sweeper and worker for the scope.
    pub fn start(&self, registry: Registry, options: EngineOptions, scope: Scope) -> RunningEngine {
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        let quotas: Arc<dyn Quotas> = Arc::new(MemoryQuotas::new(options.limits));
        let drain = CancellationToken::new();
        let stop = CancellationToken::new();
        let ledger = Arc::new(self.ledger.clone());

        // Its own worker tells the dispatcher of every place that becomes free: no more need wait.
        let window = WindowBounds { least: options.window, most: options.window };
        let dispatcher = Dispatcher {
            ledger: ledger.clone(),
            finishes: ledger.clone(),
            broker: Arc::clone(&broker),
            quotas: Arc::clone(&quotas),
            kinds: registry.names().map(ToOwned::to_owned).collect(),
            options: DispatchOptions {
                scope,
                window,
                poll: options.poll,
                hold: options.worker.hold,
                weights: options.weights,
                detours: detours(&options.terms),
                upstreams: BTreeSet::new(),
            },
        };
        let leases = Arc::new(MemoryLeases::new());
        let worker = Worker {
            registry,
            ledger: ledger.clone(),
            broker: Arc::clone(&broker),
            leases: leases.clone(),
            spare_leases: leases,
            quotas: Arc::clone(&quotas),
            terms: options.terms,
            options: options.worker,
        };
        let kinds = dispatcher.kinds.clone();
        let dispatcher = tokio::spawn(dispatcher.run(drain.clone()));
        tokio::spawn(sweeper::run(ledger, options.sweep, drain.clone()));
        let worker = tokio::spawn(worker.run(drain.clone(), stop.clone()));
        RunningEngine { drain, stop, worker, dispatcher, quotas, broker, ledger: self.ledger.clone(), kinds }
    }
}

impl Drop for Embedded {
    /// Closes the database, so that its file alone has everything, and only then gives it free. What is
    /// still written by then has no effect: who wants more waits for [`RunningEngine::drain`].
    fn drop(&mut self) {
        if !self.ledger.close(CLOSE_WITHIN) {
            tracing::warn!("the database is still being written: it belongs together with its -wal file");
        }
    }
}

/// Upstreams whose jobs are worked on while the breaker is open.
pub(crate) fn detours(terms: &BTreeMap<String, Terms>) -> BTreeSet<String> {
    let others = terms.iter().filter(|(_, terms)| terms.on_open != OnOpen::Wait);
    others.map(|(name, _)| name.clone()).collect()
}

/// A started engine.
pub struct RunningEngine {
    drain: CancellationToken,
    stop: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
    dispatcher: JoinHandle<()>,
    quotas: Arc<dyn Quotas>,
    broker: Arc<dyn Broker>,
    ledger: SqliteLedger,
    kinds: Vec<String>,
}

impl RunningEngine {
    /// What the upstreams are waiting for, for the progress line.
    pub async fn waiting_for(&self) -> Option<String> {
        let reports = self.quotas.report().await.ok()?;
        reports.into_iter().find_map(|report| {
            let (wait, why) = report.paused?;
            Some(format!("{} paused {} s: {why}", report.upstream, wait.as_secs() + 1))
        })
    }

    /// The upstreams whose open breakers hold up all that is left in the database, if they do.
    pub async fn held_up_by(&self) -> Option<Vec<String>> {
        let reports = self.quotas.report().await.ok()?;
        let is_open = |report: &UpstreamReport| matches!(report.breaker, Some(BreakerReport::Open { .. }));
        let open: Vec<_> = reports.into_iter().filter(is_open).map(|report| report.upstream).collect();
        if open.is_empty() || self.running().await > 0 {
            return None;
        }
        let left = self.ledger.backlog().await.ok()?;
        let waits = |upstream: &Option<String>| upstream.as_ref().is_some_and(|name| open.contains(name));
        left.iter().all(|left| waits(&left.upstream)).then_some(open)
    }

    /// Attempts under way.
    pub async fn running(&self) -> u64 {
        let mut running = 0;
        for kind in &self.kinds {
            running += self.broker.depth(kind).await.map_or(0, |depth| depth.unsettled as u64);
        }
        running
    }

    /// Resolves if the worker stops by itself, which it does on a broken ledger only.
    pub async fn failed(&mut self) -> WorkerError {
        match (&mut self.worker).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => std::future::pending().await,
            Err(error) => {
                WorkerError::Ledger(PortError::Broken { port: "worker", message: error.to_string() })
            }
        }
    }

    /// Takes nothing new, finishes what runs within the grace period, gives the rest back, ends.
    pub async fn drain(self) -> Result<(), WorkerError> {
        self.drain.cancel();
        if self.worker.is_finished() {
            return Ok(());
        }
        let _ = self.dispatcher.await;
        let ended = self.worker.await;
        self.stop.cancel();
        ended.unwrap_or_else(|error| {
            Err(WorkerError::Ledger(PortError::Broken { port: "worker", message: error.to_string() }))
        })?;
        empty_lines(&*self.broker, &self.ledger, &self.kinds).await.map_err(WorkerError::Ledger)
    }
}

/// Gives jobs back that wait on the lines of this process: they did nothing, so they must not
/// count as lost.
async fn empty_lines(broker: &dyn Broker, ledger: &SqliteLedger, kinds: &[String]) -> Result<(), PortError> {
    for kind in kinds {
        let mut deliveries = broker.consume(kind, 1).await?;
        while broker.depth(kind).await?.ready > 0 {
            let Some(delivery) = deliveries.next().await else { break };
            let delivery = delivery?;
            if let Ok(envelope) = Envelope::decode(&delivery.body) {
                let why = "given back at the end of its process".into();
                let finish = Finish {
                    job: envelope.job_id,
                    fence: envelope.fence,
                    decision: Decision::Snooze { delay: Duration::ZERO, why },
                    usage: Usage::default(),
                };
                ledger.finish(vec![finish]).await?;
            }
            delivery.ack().await?;
        }
    }
    Ok(())
}

/// All that a database is made of: the file, and what lies beside it while it is open.
pub fn files_of(db: &Path) -> [PathBuf; 4] {
    // SQLite follows links before it names its files.
    let db = resolved(db).unwrap_or_else(|_| db.to_owned());
    ["", "-wal", "-shm", LOCK].map(|suffix| beside(&db, suffix))
}

fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(db: &Path) -> Result<File, PortError> {
    let [.., path] = files_of(db);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| {
        PortError::Broken {
            port: "ledger",
            message: format!(
                "cannot write {}: {error}; check that the folder exists and may be written, or give another \
                 path with --db",
                path.display()
            ),
        }
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PortError::Unavailable {
            port: "ledger",
            message: format!(
                "another fleetline works on {}: wait for it, or give another path with --db",
                db.display()
            ),
        }),
        Err(TryLockError::Error(error)) => Err(PortError::Broken {
            port: "ledger",
            message: format!("cannot lock {}: {error}", path.display()),
        }),
    }
}
