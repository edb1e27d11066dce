//! What the tests have in common: an intake on a virtual host of its own, and a client of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetline_producer::amqp::{AmqpIntake, record_crash_loops};
use fleetline_producer::intake::JobLimits;
use fleetline_shared::domain::{JobId, KindPolicy, PortError, Registry};
use fleetline_shared::embedded::{MemoryLeases, SqliteLedger};
use fleetline_shared::ports::{Finish, FinishLedger, Finished, Ledger, Validity};
use fleetline_shared::rabbitmq::topology::{self, Management, REJECTED_QUEUE, SUBMIT_QUEUE, Topology};
use fleetline_shared::rabbitmq::{IntakeDelivery, Outgoing, RabbitBroker, RabbitOptions};
use fleetline_shared::rules::Backoff;
use fleetline_tests::services::Vhost;
use fleetline_worker::kinds::Kinds;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Outside {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) broker: Arc<RabbitBroker>,
    pub(super) leases: Arc<MemoryLeases>,
    pub(super) url: String,
    vhost: Vhost,
    drain: CancellationToken,
    recording: JoinHandle<()>,
    _folder: TempDir,
}

/// As often as the intake takes messages at the same time.
pub(super) const PREFETCH: usize = 10;

impl Outside {
    pub(super) async fn new() -> Self {
        let (folder, ledger) = embedded();
        Self::with(folder, ledger.clone(), ledger, topology::Limits::default()).await
    }

    /// With this ledger.
    pub(super) async fn on(ledger: Arc<dyn Ledger>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::with(folder, ledger.clone(), ledger, topology::Limits::default()).await
    }

    /// Whose ledger is away for so many of the recorder's calls, which are counted. A message that comes back
    /// once is a dead letter.
    pub(super) async fn away(calls: usize) -> (Self, watch::Receiver<usize>) {
        let (folder, ledger) = embedded();
        let (count, counted) = watch::channel(0);
        let away = Arc::new(Away { ledger: ledger.clone(), calls, count });
        let limits = topology::Limits { delivery_limit: 1, ..topology::Limits::default() };
        (Self::with(folder, ledger, away, limits).await, counted)
    }

    async fn with(
        folder: TempDir,
        ledger: Arc<dyn Ledger>,
        finishes: Arc<dyn FinishLedger>,
        limits: topology::Limits,
    ) -> Self {
        let vhost = Vhost::new().await;
        let options = RabbitOptions::new(vhost.url.as_str(), "producer", "test");
        let registry = registry();
        let wanted = Topology { kinds: registry.names().map(ToOwned::to_owned).collect(), limits };
        let management = Management::new(vhost.management.as_str(), None).expect("a readable URL");
        topology::apply(&options, &management, &wanted).await.expect("applied");
        let broker = Arc::new(RabbitBroker::new(&options).expect("a readable URL"));
        let drain = CancellationToken::new();
        let intake = AmqpIntake {
            broker: broker.clone(),
            ledger: ledger.clone(),
            kinds: registry,
            limits: JobLimits::default(),
            tenant: "acme".into(),
            prefetch: PREFETCH,
        };
        tokio::spawn(intake.run(drain.clone()));
        let leases = Arc::new(MemoryLeases::new());
        let backoff = Backoff::default();
        let recording = record_crash_loops(broker.clone(), finishes, leases.clone(), backoff, drain.clone());
        let recording = tokio::spawn(recording);
        Self { ledger, broker, leases, url: vhost.url.clone(), vhost, drain, recording, _folder: folder }
    }

    /// Publishes to the intake, with an id if there is one.
    pub(super) async fn send(&self, body: &str, id: &str) {
        let message = Outgoing::new("", SUBMIT_QUEUE, id.to_owned(), body.as_bytes().to_vec());
        for answer in self.broker.publisher().publish(vec![message]).await {
            answer.expect("the broker takes it");
        }
    }

    /// The next message of a queue, taken off it.
    pub(super) async fn next_of(&self, queue: &str) -> Seen {
        let mut consumer = self.broker.intake(queue, 1).await.expect("a consumer");
        let delivery =
            timeout(PATIENCE, consumer.next()).await.expect("in time").expect("alive").expect("whole");
        let seen = Seen::of(&delivery);
        delivery.ack().await.expect("taken");
        seen
    }

    /// The next dead letter: its body and reason.
    pub(super) async fn next_dead(&self) -> Seen {
        self.next_of(REJECTED_QUEUE).await
    }

    pub(super) async fn end(self) {
        self.drain.cancel();
        timeout(PATIENCE, self.recording).await.expect("the recorder ends").expect("in good order");
        self.broker.close().await;
        self.vhost.remove().await;
    }
}

fn embedded() -> (TempDir, Arc<dyn Ledger>) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).expect("a new ledger");
    (folder, Arc::new(ledger))
}

/// A ledger that cannot be reached at first.
struct Away {
    ledger: Arc<dyn Ledger>,
    calls: usize,
    count: watch::Sender<usize>,
}

#[async_trait]
impl FinishLedger for Away {
    async fn validity(&self, of: Vec<(JobId, u64)>, renew: Duration) -> Result<Vec<Validity>, PortError> {
        self.ledger.validity(of, renew).await
    }

    async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        self.ledger.args(job).await
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        self.count.send_modify(|count| *count += 1);
        if *self.count.borrow() <= self.calls {
            return Err(PortError::Unavailable { port: "ledger", message: "it is away".into() });
        }
        self.ledger.finish(finishes).await
    }
}

/// A message as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) body: Vec<u8>,
    pub(super) reason: Option<String>,
}

impl Seen {
    fn of(delivery: &IntakeDelivery) -> Self {
        Self { body: delivery.body.clone(), reason: delivery.header(topology::REASON_HEADER) }
    }
}

pub(super) fn registry() -> Registry {
    Kinds::all(None, KindPolicy::default()).registry().clone()
}

/// A job that the intake takes.
pub(super) fn log_job(message: &str) -> Value {
    json!({
        "kind": "log.analyze",
        "args": {
            "analyser": { "name": "builtin", "version": "log-rules-1" },
            "logger": "api", "level": "ERROR", "message": message,
            "fingerprint": format!("{:x}", message.len()), "template": message,
        },
    })
}
