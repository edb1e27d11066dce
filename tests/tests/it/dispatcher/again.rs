//! Messages that nobody may have are sent again, and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{Envelope, JobId, PortError};
use fleetline_shared::embedded::{MemoryBroker, SqliteLedger};
use fleetline_shared::ports::{
    Broker, Deliveries, Depth, DispatchAsk, DispatchLedger, Message, News, OfferLedger, Scope, Swept,
    Unpublished,
};
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, jobs, open, take};
use tokio::sync::watch;

use super::Rig;
use super::faults::{Shy, Switch};

/// A ledger whose first dispatch is committed, while the answer is lost.
struct Mumbling(SqliteLedger, AtomicBool);

impl OfferLedger for Mumbling {}

#[async_trait]
impl DispatchLedger for Mumbling {
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        let taken = self.0.dispatch(ask).await?;
        if taken.is_empty() || self.1.swap(true, Ordering::SeqCst) {
            return Ok(taken);
        }
        Err(PortError::Unavailable { port: "test", message: "no answer".into() })
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError> {
        self.0.handed_out(scope, kind).await
    }

    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        self.0.messages(kind, jobs).await
    }

    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError> {
        self.0.next_due(scope).await
    }

    async fn sweep(&self, scope: Scope, older_than: Duration, max_losses: u16) -> Result<Swept, PortError> {
        self.0.sweep(scope, older_than, max_losses).await
    }

    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError> {
        self.0.end_left(silent_for).await
    }

    fn changes(&self) -> watch::Receiver<News> {
        self.0.changes()
    }
}

/// A broker that is reached anew when somebody says so, and whose confirms are lost while the switch is down.
struct Forgetful {
    broker: MemoryBroker,
    contacts: AtomicU64,
    confirms: Switch,
}

#[async_trait]
impl Broker for Forgetful {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        match self.confirms.pass() {
            Ok(()) => self.broker.publish(messages).await,
            Err(error) => {
                let lost = |_| Err(Unpublished { error: error.clone(), may_be_there: true });
                messages.into_iter().map(lost).collect()
            }
        }
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.broker.consume(line, prefetch).await
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        self.broker.depth(line).await
    }

    fn contacts(&self) -> u64 {
        self.contacts.load(Ordering::SeqCst)
    }

    async fn consumers(&self, line: &str) -> Result<usize, PortError> {
        self.broker.consumers(line).await
    }

    async fn line_moved(&self) {
        self.broker.line_moved().await;
    }

    async fn took_back(&self) {
        self.broker.took_back().await;
    }
}

impl Default for Forgetful {
    fn default() -> Self {
        let confirms = Switch::default();
        confirms.up();
        Self { broker: MemoryBroker::new(), contacts: AtomicU64::new(0), confirms }
    }
}

/// Jobs in a run of the rig's ledger.
async fn fill(rig: &Rig, count: u64) -> Subject {
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    add(&ledger, run, jobs("key", 1, count)).await;
    ledger
}

/// The next messages of the line, settled.
pub(super) async fn next(broker: &Arc<dyn Broker>, count: usize) -> Vec<Envelope> {
    let mut deliveries = broker.consume(KIND, count).await.unwrap();
    let mut envelopes = Vec::new();
    for _ in 0..count {
        let delivery = Pace::REAL.soon(deliveries.next()).await.unwrap().unwrap();
        envelopes.push(Envelope::decode(&delivery.body).unwrap());
        delivery.ack().await.unwrap();
    }
    envelopes
}

/// Job and fence of each, in order of jobs.
fn dispatches(envelopes: &[Envelope]) -> Vec<(JobId, u64)> {
    let mut dispatches: Vec<_> = envelopes.iter().map(|envelope| (envelope.job_id, envelope.fence)).collect();
    dispatches.sort_unstable();
    dispatches
}

#[tokio::test]
async fn what_a_dead_dispatcher_did_not_publish_goes_again_at_once() {
    let rig = Rig::new();
    let ledger = fill(&rig, 20).await;
    let taken = take(&ledger, 20).await;
    let broker = Arc::clone(&rig.broker);
    let running = rig.start(&[KIND]);
    let came = next(&broker, 20).await;
    assert_eq!(dispatches(&came), dispatches(&taken));
    assert!(came.iter().all(|envelope| envelope.again), "a worker may have the first one");
    running.stop().await;
}

#[tokio::test]
async fn what_a_lost_answer_handed_out_goes_again() {
    let rig = Rig::new();
    fill(&rig, 20).await;
    let broker = Arc::clone(&rig.broker);
    let ledger = Arc::new(Mumbling(rig.sqlite.clone(), AtomicBool::new(false)));
    let running = Rig { ledger, ..rig }.start(&[KIND]);
    let came = next(&broker, 20).await;
    assert_eq!(came.iter().map(|envelope| envelope.fence).collect::<Vec<_>>(), [1; 20]);
    running.stop().await;
}

/// The line is looked at once in each poll.
#[tokio::test]
async fn what_a_broker_lost_while_it_was_away_goes_again() {
    let rig = Rig::new();
    fill(&rig, 20).await;
    let reach = Arc::new(Switch::default());
    reach.up();
    let broker: Arc<dyn Broker> = Arc::new(Shy(MemoryBroker::new(), Arc::clone(&reach), KIND));
    let running = Rig { broker: Arc::clone(&broker), ..rig }.start(&[KIND]);
    let lost = next(&broker, 20).await;
    reach.down();
    Pace::REAL.becomes(true, async || reach.asked() > 0).await;
    reach.up();
    let came = next(&broker, 20).await;
    assert_eq!(dispatches(&came), dispatches(&lost));
    running.stop().await;
}

/// Nobody asked for anything while it was away.
#[tokio::test]
async fn what_a_broker_may_have_lost_between_two_looks_goes_again() {
    let rig = Rig::new();
    fill(&rig, 20).await;
    let forgetful = Arc::new(Forgetful::default());
    let broker: Arc<dyn Broker> = forgetful.clone();
    let running = Rig { broker: Arc::clone(&broker), ..rig }.start(&[KIND]);
    let lost = next(&broker, 20).await;
    forgetful.contacts.fetch_add(1, Ordering::SeqCst);
    let came = next(&broker, 20).await;
    assert_eq!(dispatches(&came), dispatches(&lost));
    running.stop().await;
}

/// A line is not looked at while messages for it fail.
#[tokio::test]
async fn what_a_broker_lost_while_messages_for_it_failed_goes_again() {
    let rig = Rig::new();
    let ledger = fill(&rig, 20).await;
    let forgetful = Arc::new(Forgetful::default());
    let broker: Arc<dyn Broker> = forgetful.clone();
    let running = Rig { broker: Arc::clone(&broker), ..rig }.start(&[KIND]);
    let lost = next(&broker, 20).await;
    forgetful.confirms.down();
    let run = open(&ledger, TENANT).await;
    add(&ledger, run, jobs("late", 1, 1)).await;
    Pace::REAL.becomes(true, async || forgetful.confirms.asked() > 0).await;
    forgetful.confirms.up();
    // The late one comes, and then all.
    let came = next(&broker, 22).await;
    assert!(dispatches(&lost).iter().all(|one| dispatches(&came).contains(one)), "{came:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_line_that_holds_all_gets_nothing_twice() {
    let rig = Rig::new();
    let ledger = fill(&rig, 20).await;
    let message =
        |envelope: &Envelope| Message { line: KIND.into(), id: envelope.job_id, body: envelope.encode() };
    let messages = take(&ledger, 10).await.iter().map(message).collect();
    let broker = Arc::clone(&rig.broker);
    broker.publish(messages).await;
    let running = rig.start(&[KIND]);
    Pace::REAL.becomes(20, async || broker.depth(KIND).await.unwrap().ready).await;
    let came = next(&broker, 20).await;
    assert!(came.iter().all(|envelope| !envelope.again && envelope.fence == 1), "{came:?}");
    running.stop().await;
    assert_eq!(broker.depth(KIND).await.unwrap().ready, 0);
}
