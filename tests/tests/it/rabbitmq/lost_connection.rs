//! A worker whose connection or channel breaks in the middle of its calls makes none of them again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{CallContext, Done, Envelope, JobError, JobState, Kind, Registry, RunId};
use fleetline_shared::embedded::{MemoryLeases, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{Broker, Depth, Message};
use fleetline_shared::rabbitmq::RabbitBroker;
use fleetline_tests::chaos::proxy::{Link, Proxy};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, job, open, rows, take};
use fleetline_tests::services::{PrivateServers, Vhost};
use fleetline_worker::{Worker, WorkerError, WorkerOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::world::options;

const JOBS: u32 = 3;
const BOUND: Duration = Duration::from_secs(30);

/// Tells of each call, which ends when it may.
struct Work {
    begun: mpsc::UnboundedSender<()>,
    may_end: Arc<Semaphore>,
}

impl Kind for Work {
    const NAME: &'static str = KIND;
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        let _ = self.begun.send(());
        let _place = self.may_end.acquire().await;
        Ok(Done::new(args))
    }
}

fn worker(work: Work, ledger: SqliteLedger, broker: Arc<RabbitBroker>, leases: Arc<MemoryLeases>) -> Worker {
    Worker {
        registry: Registry::default().with(work),
        ledger: Arc::new(ledger),
        broker,
        leases: leases.clone(),
        spare_leases: leases,
        quotas: Arc::new(MemoryQuotas::new(BTreeMap::new())),
        terms: BTreeMap::new(),
        options: WorkerOptions {
            // There is room for the same jobs once more.
            concurrency: 3 * JOBS as usize,
            grace: Duration::ZERO,
            lease_ttl: Duration::from_secs(30),
            renew_after: Duration::from_mins(1),
            hold: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            alone: false,
        },
    }
}

/// Until the broker says so over a connection of its own.
async fn until(broker: &RabbitBroker, is_so: impl Fn(Depth, usize) -> bool) {
    loop {
        if let (Ok(depth), Ok(consumers)) = (broker.depth(KIND).await, broker.consumers(KIND).await)
            && is_so(depth, consumers)
        {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A broker, and somebody who looks at it over a connection of its own.
struct Site {
    vhost: Vhost,
    proxy: Proxy,
    /// Through the proxy.
    broker: Arc<RabbitBroker>,
    looking: Arc<RabbitBroker>,
    leases: Arc<MemoryLeases>,
    sqlite: SqliteLedger,
    _folder: TempDir,
}

impl Site {
    /// With jobs on the line.
    async fn new(vhost: Vhost) -> (Self, Subject, RunId) {
        let (credentials, place) = vhost.url.rsplit_once('@').expect("a user");
        let (server, name) = place.split_once('/').expect("a virtual host");
        let proxy = Proxy::start(server).await;
        let through = format!("{credentials}@{}/{name}", proxy.address());
        let broker = Arc::new(RabbitBroker::new(&options(&through)).expect("a readable URL"));
        let looking = Arc::new(RabbitBroker::new(&options(&vhost.url)).expect("a readable URL"));
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        let ledger: Subject = Arc::new(sqlite.clone());
        let run = open(&ledger, TENANT).await;
        let jobs = (1..=u64::from(JOBS)).map(|seq| job(seq, &format!("key-{seq}"))).collect();
        add(&ledger, run, jobs).await;
        let envelopes = take(&ledger, JOBS as usize).await;
        let message =
            |envelope: &Envelope| Message { line: KIND.into(), id: envelope.job_id, body: envelope.encode() };
        for published in looking.publish(envelopes.iter().map(message).collect()).await {
            published.expect("it is on its line");
        }
        let leases = Arc::new(MemoryLeases::new());
        (Self { vhost, proxy, broker, looking, leases, sqlite, _folder: folder }, ledger, run)
    }

    fn start(&self, work: Work, broker: &Arc<RabbitBroker>, drain: &CancellationToken) -> Working {
        let worker = worker(work, self.sqlite.clone(), broker.clone(), self.leases.clone());
        tokio::spawn(worker.run(drain.clone(), CancellationToken::new()))
    }
}

type Working = JoinHandle<Result<(), WorkerError>>;

/// How a worker that calls loses what it was handed, and to whom.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    /// Its connection breaks: to itself, when it is back.
    Connection,
    /// The same: to another worker.
    ConnectionToAnother,
    /// The broker closes its channel alone: to another worker.
    ChannelToAnother,
}

async fn calls_outlive(loss: Loss, vhost: Vhost) {
    let (site, ledger, run) = Site::new(vhost).await;
    let ((begun, mut calls), may_end) = (mpsc::unbounded_channel(), Arc::new(Semaphore::new(0)));
    let work = || Work { begun: begun.clone(), may_end: may_end.clone() };
    let drain = CancellationToken::new();
    let mut working = vec![site.start(work(), &site.broker, &drain)];
    let seen = timeout(BOUND, async {
        for _ in 0..JOBS {
            calls.recv().await.expect("a call");
        }
        if loss == Loss::Connection {
            site.proxy.set(Link::Cut);
            until(&site.looking, |depth, _| depth.ready == JOBS as usize).await;
            site.proxy.set(Link::PASS);
            until(&site.looking, |depth, consumers| depth.ready == 0 && consumers > 0).await;
            // They are handed over; the worker must have come to know of them before its calls end.
            sleep(Duration::from_secs(1)).await;
        } else {
            working.push(site.start(work(), &site.looking, &drain));
            until(&site.looking, |_, consumers| consumers > 1).await;
            if loss == Loss::ConnectionToAnother {
                site.proxy.set(Link::Cut);
            }
            until(&site.looking, |depth, _| depth.unsettled == JOBS as usize).await;
            // It has had time to take them over.
            sleep(Duration::from_secs(3)).await;
        }
        may_end.add_permits(2 * JOBS as usize);
        loop {
            let rows = rows(&ledger, run).await;
            if rows.iter().all(|row| row.state == JobState::Succeeded) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        until(&site.looking, |depth, _| (depth.ready, depth.unsettled) == (0, 0)).await;
        site.proxy.set(Link::PASS);
        drain.cancel();
        for working in working {
            working.await.expect("no panic").expect("drained");
        }
        until(&site.looking, |_, consumers| consumers == 0).await;
        site.looking.depth(KIND).await.expect("a depth").ready
    });
    assert_eq!(seen.await.expect("it goes on"), 0, "every delivery is acknowledged");
    assert!(calls.try_recv().is_err(), "no call is made again");
    site.looking.close().await;
    site.vhost.remove().await;
}

#[tokio::test]
async fn calls_outlive_a_connection_that_comes_back() {
    calls_outlive(Loss::Connection, Vhost::new().await).await;
}

#[tokio::test]
async fn calls_outlive_a_connection_whose_deliveries_go_to_another_worker() {
    calls_outlive(Loss::ConnectionToAnother, Vhost::new().await).await;
}

#[tokio::test]
async fn calls_outlive_a_channel_that_the_broker_closes() {
    let impatient = || {
        let servers = PrivateServers::start_with("consumer_timeout = 2000");
        servers.rabbitmqctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."]);
        servers
    };
    let servers = spawn_blocking(impatient).await.expect("no panic");
    let vhost = Vhost::on(&servers.urls.rabbitmq, &servers.urls.management).await;
    calls_outlive(Loss::ChannelToAnother, vhost).await;
}
