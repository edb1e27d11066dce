//! What a dispatcher puts on its lines, when there is not room for all or something fails.

mod again;
mod faults;
mod offers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::dispatcher::{DispatchOptions, Dispatcher, WindowBounds};
use fleetline_shared::domain::{Envelope, NewJob, Weights};
use fleetline_shared::embedded::{MemoryBroker, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{Broker, DispatchLedger, Limits, Quotas, Rate, Scope};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, job, open};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const UPSTREAMS: usize = 20;
const WINDOW: usize = 64;
const TAKEN: usize = 600;
/// Slower than a quarter of the upstreams are handed out.
const WORK: Duration = Duration::from_millis(5);

/// The upstream that is in the settings.
const UPSTREAM: &str = "api";

/// What a dispatcher works with.
struct Rig {
    sqlite: SqliteLedger,
    ledger: Arc<dyn DispatchLedger>,
    broker: Arc<dyn Broker>,
    quotas: Arc<dyn Quotas>,
    poll: Duration,
    folder: TempDir,
}

impl Rig {
    /// All in memory, but the ledger in a new file; no limits.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        Self {
            ledger: Arc::new(sqlite.clone()),
            sqlite,
            broker: Arc::new(MemoryBroker::new()),
            quotas: Arc::new(MemoryQuotas::new(BTreeMap::new())),
            poll: Duration::from_millis(50),
            folder,
        }
    }

    /// Starts a dispatcher with lines of these kinds.
    fn start(self, kinds: &[&str]) -> Running {
        let dispatcher = Dispatcher {
            ledger: self.ledger,
            finishes: Arc::new(self.sqlite),
            broker: self.broker,
            quotas: self.quotas,
            kinds: kinds.iter().map(ToString::to_string).collect(),
            options: DispatchOptions {
                scope: Scope::All,
                window: WindowBounds { least: WINDOW, most: WINDOW },
                poll: self.poll,
                hold: Duration::from_secs(1),
                weights: Weights::default(),
                detours: BTreeSet::new(),
                upstreams: BTreeSet::from([UPSTREAM.to_owned()]),
            },
        };
        let drain = CancellationToken::new();
        let dispatching = tokio::spawn(dispatcher.run(drain.clone()));
        Running { drain, dispatching, folder: self.folder }
    }
}

struct Running {
    drain: CancellationToken,
    dispatching: JoinHandle<()>,
    folder: TempDir,
}

impl Running {
    /// Returns the folder of the ledger, which goes with it.
    async fn stop(self) -> TempDir {
        self.drain.cancel();
        self.dispatching.await.unwrap();
        self.folder
    }
}

/// The line is always shorter than what some of them may have together, though not one of them may fill it.
#[tokio::test]
async fn upstreams_that_may_have_some_share_a_line_that_is_too_short_for_all() {
    let rig = Rig::new();
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let upstreams: Vec<_> = (0..UPSTREAMS).map(|number| format!("upstream-{number:02}")).collect();
    let jobs = (1..=2_400).zip(upstreams.iter().cycle()).map(|(seq, upstream)| NewJob {
        upstream: Some(upstream.clone()),
        ..job(seq, &format!("key-{seq}"))
    });
    add(&ledger, run, jobs.collect()).await;
    let requests = Some(Rate { amount: 20 * 60, window: Duration::from_mins(1) });
    let limits = upstreams.iter().map(|name| (name.clone(), Limits { requests, ..Limits::default() }));
    let broker = Arc::clone(&rig.broker);
    let running = Rig { quotas: Arc::new(MemoryQuotas::new(limits.collect())), ..rig }.start(&[KIND]);
    let mut deliveries = broker.consume(KIND, 1).await.unwrap();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..TAKEN {
        let delivery = deliveries.next().await.unwrap().unwrap();
        let upstream = Envelope::decode(&delivery.body).unwrap().upstream.unwrap();
        *taken.entry(upstream).or_default() += 1;
        sleep(WORK).await;
        delivery.ack().await.unwrap();
    }
    running.stop().await;
    for upstream in &upstreams {
        let jobs = taken.get(upstream).copied().unwrap_or(0);
        assert!(jobs >= TAKEN / UPSTREAMS / 4, "{upstream}: {taken:?}");
    }
}

/// As long as these have work: the line is never full for lack of it.
#[tokio::test]
async fn an_upstream_that_may_have_few_goes_beside_those_that_may_have_any_number() {
    let rig = Rig::new();
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let jobs = (1..=2_000).map(|seq| {
        let upstream = if seq <= 1_900 { "any" } else { "few" };
        NewJob { upstream: Some(upstream.into()), ..job(seq, &format!("key-{seq}")) }
    });
    add(&ledger, run, jobs.collect()).await;
    let requests = Some(Rate { amount: 10 * 60, window: Duration::from_mins(1) });
    let limits = BTreeMap::from([("few".to_owned(), Limits { requests, ..Limits::default() })]);
    let broker = Arc::clone(&rig.broker);
    let running = Rig { quotas: Arc::new(MemoryQuotas::new(limits)), ..rig }.start(&[KIND]);
    let mut deliveries = broker.consume(KIND, 1).await.unwrap();
    let mut few = 0;
    for _ in 0..TAKEN {
        let delivery = deliveries.next().await.unwrap().unwrap();
        few += usize::from(Envelope::decode(&delivery.body).unwrap().upstream.as_deref() == Some("few"));
        sleep(WORK).await;
        delivery.ack().await.unwrap();
    }
    running.stop().await;
    assert!(few >= 10, "{few} of {TAKEN}");
}
