//! A worker whose connection breaks in the middle of its calls makes none of them again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{CallContext, Done, Envelope, JobError, JobState, Kind, Registry};
use fleetline_shared::embedded::{MemoryLeases, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{Broker, Depth, Message};
use fleetline_shared::rabbitmq::RabbitBroker;
use fleetline_tests::chaos::proxy::{Link, Proxy};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, job, open, rows, take};
use fleetline_tests::services::Vhost;
use fleetline_worker::{Worker, WorkerOptions};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
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

fn worker(work: Work, ledger: SqliteLedger, broker: Arc<RabbitBroker>) -> Worker {
    let leases = Arc::new(MemoryLeases::new());
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

#[tokio::test]
async fn calls_outlive_their_connection() {
    let vhost = Vhost::new().await;
    let (credentials, place) = vhost.url.rsplit_once('@').expect("a user");
    let (server, name) = place.split_once('/').expect("a virtual host");
    let proxy = Proxy::start(server).await;
    let through = format!("{credentials}@{}/{name}", proxy.address());
    let broker = Arc::new(RabbitBroker::new(&options(&through)).expect("a readable URL"));
    let looking = RabbitBroker::new(&options(&vhost.url)).expect("a readable URL");
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let ledger: Subject = Arc::new(sqlite.clone());
    let run = open(&ledger, TENANT).await;
    add(&ledger, run, (1..=u64::from(JOBS)).map(|seq| job(seq, &format!("key-{seq}"))).collect()).await;
    let envelopes = take(&ledger, JOBS as usize).await;
    let message =
        |envelope: &Envelope| Message { line: KIND.into(), id: envelope.job_id, body: envelope.encode() };
    for published in looking.publish(envelopes.iter().map(message).collect()).await {
        published.expect("it is on its line");
    }
    let ((begun, mut calls), may_end) = (mpsc::unbounded_channel(), Arc::new(Semaphore::new(0)));
    let drain = CancellationToken::new();
    let worker = worker(Work { begun, may_end: may_end.clone() }, sqlite, broker);
    let working = tokio::spawn(worker.run(drain.clone(), CancellationToken::new()));
    let seen = timeout(BOUND, async {
        for _ in 0..JOBS {
            calls.recv().await.expect("a call");
        }
        proxy.set(Link::Cut);
        until(&looking, |depth, _| depth.ready == JOBS as usize).await;
        proxy.set(Link::PASS);
        until(&looking, |depth, consumers| depth.ready == 0 && consumers > 0).await;
        may_end.add_permits(2 * JOBS as usize);
        loop {
            let rows = rows(&ledger, run).await;
            if rows.iter().all(|row| row.state == JobState::Succeeded) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        drain.cancel();
        working.await.expect("no panic").expect("drained");
        until(&looking, |_, consumers| consumers == 0).await;
        looking.depth(KIND).await.expect("a depth").ready
    });
    assert_eq!(seen.await.expect("it goes on"), 0, "every delivery is acknowledged");
    assert!(calls.try_recv().is_err(), "no call is made again");
    looking.close().await;
    vhost.remove().await;
}
