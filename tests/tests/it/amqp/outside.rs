//! What the tests have in common: an intake on a virtual host of its own, and a client of it.

use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::amqp::{AmqpIntake, record_crash_loops};
use fleetline_producer::intake::JobLimits;
use fleetline_shared::domain::{KindPolicy, Registry};
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::Ledger;
use fleetline_shared::rabbitmq::topology::{self, Management, REJECTED_QUEUE, SUBMIT_QUEUE, Topology};
use fleetline_shared::rabbitmq::{IntakeDelivery, Outgoing, RabbitBroker, RabbitOptions};
use fleetline_shared::rules::Backoff;
use fleetline_tests::services::Vhost;
use fleetline_worker::kinds::Kinds;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Outside {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) broker: Arc<RabbitBroker>,
    pub(super) url: String,
    vhost: Vhost,
    drain: CancellationToken,
    _folder: TempDir,
}

impl Outside {
    pub(super) async fn new() -> Self {
        let vhost = Vhost::new().await;
        let options = RabbitOptions::new(vhost.url.as_str(), "producer", "test");
        let registry = registry();
        let wanted = Topology {
            kinds: registry.names().map(ToOwned::to_owned).collect(),
            limits: topology::Limits::default(),
        };
        let management = Management::new(vhost.management.as_str(), None).expect("a readable URL");
        topology::apply(&options, &management, &wanted).await.expect("applied");
        let folder = tempfile::tempdir().expect("a folder");
        let ledger: Arc<dyn Ledger> =
            Arc::new(SqliteLedger::open(&folder.path().join("ledger.db")).expect("a new ledger"));
        let broker = Arc::new(RabbitBroker::new(&options).expect("a readable URL"));
        let drain = CancellationToken::new();
        let intake = AmqpIntake {
            broker: broker.clone(),
            ledger: ledger.clone(),
            kinds: registry,
            limits: JobLimits::default(),
            tenant: "acme".into(),
            prefetch: 10,
        };
        tokio::spawn(intake.run(drain.clone()));
        tokio::spawn(record_crash_loops(broker.clone(), ledger.clone(), Backoff::default(), drain.clone()));
        Self { ledger, broker, url: vhost.url.clone(), vhost, drain, _folder: folder }
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
        self.broker.close().await;
        self.vhost.remove().await;
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
