//! What fails holds up what needs it, and nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{Envelope, JobId, NewJob, PortError};
use fleetline_shared::embedded::{MemoryBroker, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{
    Admission, Ask, Broker, CallEnd, Deliveries, Depth, DispatchAsk, DispatchLedger, Message, News,
    OfferLedger, Quotas, Reservation, Scope, SlotTime, Swept, Turn, Unpublished, UpstreamReport, Validity,
};
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{HOUR, KIND, TENANT, add, job, jobs, open};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::{Rig, UPSTREAM};

/// Before the other one in the order of the lines.
const FAILING: &str = "failing.first";
const JOBS: u64 = 400;

/// A switch, and how often somebody came while it was down.
#[derive(Default)]
pub(super) struct Switch {
    is_up: AtomicBool,
    asked: AtomicUsize,
}

impl Switch {
    pub(super) fn up(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn down(&self) {
        self.is_up.store(false, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn pass(&self) -> Result<(), PortError> {
        if self.is_up.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(PortError::Invalid { port: "test", message: "refused".into() })
    }
}

/// A broker that refuses to tell of this line while the switch is down.
pub(super) struct Shy(pub(super) MemoryBroker, pub(super) Arc<Switch>, pub(super) &'static str);

#[async_trait]
impl Broker for Shy {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        self.0.publish(messages).await
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.0.consume(line, prefetch).await
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        if line == self.2 {
            self.1.pass()?;
        }
        self.0.depth(line).await
    }

    fn contacts(&self) -> u64 {
        self.0.contacts()
    }

    async fn consumers(&self, line: &str) -> Result<usize, PortError> {
        self.0.consumers(line).await
    }

    async fn line_moved(&self) {
        self.0.line_moved().await;
    }

    async fn took_back(&self) {
        self.0.took_back().await;
    }
}

/// A broker that confirms nothing: it refuses some messages, and of the others nobody knows whether it has them.
/// It keeps all envelopes that came.
struct Vague {
    broker: MemoryBroker,
    refused: Mutex<Vec<Envelope>>,
    uncertain: Mutex<Vec<Envelope>>,
}

#[async_trait]
impl Broker for Vague {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        let answer = |message: Message| {
            let envelope = Envelope::decode(&message.body).unwrap();
            let may_be_there = envelope.upstream.is_none();
            let kept = if may_be_there { &self.uncertain } else { &self.refused };
            kept.lock().unwrap().push(envelope);
            let error = PortError::Unavailable { port: "test", message: "no confirm".into() };
            Err(Unpublished { error, may_be_there })
        };
        messages.into_iter().map(answer).collect()
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.broker.consume(line, prefetch).await
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        self.broker.depth(line).await
    }

    fn contacts(&self) -> u64 {
        self.broker.contacts()
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

/// A ledger that hands out nothing of one kind, or knows nothing of what is due.
struct Stubborn {
    ledger: SqliteLedger,
    dispatch: Arc<Switch>,
    next_due: Arc<Switch>,
}

impl OfferLedger for Stubborn {}

#[async_trait]
impl DispatchLedger for Stubborn {
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        if ask.kind == FAILING {
            self.dispatch.pass()?;
        }
        self.ledger.dispatch(ask).await
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError> {
        self.ledger.handed_out(scope, kind).await
    }

    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        self.ledger.messages(kind, jobs).await
    }

    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError> {
        self.next_due.pass()?;
        self.ledger.next_due(scope).await
    }

    async fn sweep(&self, scope: Scope, older_than: Duration, max_losses: u16) -> Result<Swept, PortError> {
        self.ledger.sweep(scope, older_than, max_losses).await
    }

    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError> {
        self.ledger.end_left(silent_for).await
    }

    fn changes(&self) -> watch::Receiver<News> {
        self.ledger.changes()
    }
}

/// Who decides whether the quotas can be looked at.
#[async_trait]
trait Cover: Send + Sync {
    async fn lift(&self) -> Result<(), PortError>;
}

#[async_trait]
impl Cover for Switch {
    async fn lift(&self) -> Result<(), PortError> {
        self.pass()
    }
}

/// As many looks as it has permits; the others wait.
#[async_trait]
impl Cover for Semaphore {
    async fn lift(&self) -> Result<(), PortError> {
        self.acquire().await.unwrap().forget();
        Ok(())
    }
}

/// Quotas that cannot always be looked at.
struct Hidden<C>(MemoryQuotas, Arc<C>);

#[async_trait]
impl<C: Cover> Quotas for Hidden<C> {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        self.0.admit(ask).await
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.0.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        self.0.give_back(reservation);
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        self.0.settle(reservation, end).await
    }

    async fn flush(&self) {
        self.0.flush().await;
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.0.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        self.1.lift().await?;
        self.0.report().await
    }
}

/// Takes so many of a line's jobs, one after the other; returns the upstream of each.
async fn take(broker: &Arc<dyn Broker>, line: &str, jobs: u64) -> Vec<Option<String>> {
    let mut deliveries = broker.consume(line, 1).await.unwrap();
    let mut upstreams = Vec::new();
    for _ in 0..jobs {
        let delivery = Pace::REAL.soon(deliveries.next()).await.unwrap().unwrap();
        upstreams.push(Envelope::decode(&delivery.body).unwrap().upstream);
        delivery.ack().await.unwrap();
    }
    upstreams
}

/// Jobs of both lines.
async fn fill(sqlite: &SqliteLedger) {
    let ledger: Subject = Arc::new(sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let jobs = (1..=2 * JOBS).map(|seq| {
        let kind = if seq % 2 == 0 { FAILING } else { KIND };
        NewJob { kind: kind.into(), ..job(seq, &format!("key-{seq}")) }
    });
    add(&ledger, run, jobs.collect()).await;
}

/// All jobs of the other line go while this one fails, which is tried once in each poll; then it goes, too.
async fn only_the_failing_line_waits(rig: Rig, trouble: &Switch) {
    fill(&rig.sqlite).await;
    let poll = rig.poll;
    let broker = Arc::clone(&rig.broker);
    let (begun, running) = (Instant::now(), rig.start(&[FAILING, KIND]));
    take(&broker, KIND, JOBS).await;
    let polls = begun.elapsed().div_duration_f64(poll);
    assert!(trouble.asked() as f64 <= polls + 1.0, "tried {} times in {polls} polls", trouble.asked());
    trouble.up();
    take(&broker, FAILING, JOBS).await;
    running.stop().await;
}

/// A worker may be at it, and what it pays for must count.
#[tokio::test]
async fn only_what_is_surely_not_on_its_line_goes_back() {
    let rig = Rig::new();
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let jobs = (1..=10).map(|seq| {
        let upstream = (seq % 2 == 0).then(|| UPSTREAM.to_owned());
        NewJob { upstream, ..job(seq, &format!("key-{seq}")) }
    });
    add(&ledger, run, jobs.collect()).await;
    let (broker, refused, uncertain) = (MemoryBroker::new(), Mutex::default(), Mutex::default());
    let broker = Arc::new(Vague { broker, refused, uncertain });
    let came = || broker.refused.lock().unwrap().len() + broker.uncertain.lock().unwrap().len();
    let running = Rig { broker: broker.clone(), ..rig }.start(&[KIND]);
    Pace::REAL.becomes(true, async || came() >= 20).await;
    let _folder = running.stop().await;
    let said_again = |envelopes: &Mutex<Vec<Envelope>>| {
        envelopes.lock().unwrap().iter().take(10).map(|envelope| envelope.again).collect::<Vec<_>>()
    };
    assert_eq!(said_again(&broker.uncertain), [[false; 5], [true; 5]].concat());
    assert_eq!(said_again(&broker.refused), [false; 10]);
    let standing = async |envelopes: &Mutex<Vec<Envelope>>| {
        let dispatches: BTreeSet<_> =
            envelopes.lock().unwrap().iter().map(|envelope| (envelope.job_id, envelope.fence)).collect();
        ledger.validity(dispatches.into_iter().collect(), Duration::MAX).await.unwrap()
    };
    assert_eq!(standing(&broker.uncertain).await, [Validity::Current; 5]);
    assert_eq!(standing(&broker.refused).await, [Validity::Stale; 5]);
}

#[tokio::test]
async fn a_line_whose_depth_is_unknown_holds_up_no_other() {
    let trouble = Arc::new(Switch::default());
    let broker = Arc::new(Shy(MemoryBroker::new(), Arc::clone(&trouble), FAILING));
    only_the_failing_line_waits(Rig { broker, ..Rig::new() }, &trouble).await;
}

#[tokio::test]
async fn a_line_whose_jobs_cannot_be_taken_holds_up_no_other() {
    let (trouble, other) = (Arc::new(Switch::default()), Arc::new(Switch::default()));
    other.up();
    let rig = Rig::new();
    let ledger = Stubborn { ledger: rig.sqlite.clone(), dispatch: Arc::clone(&trouble), next_due: other };
    only_the_failing_line_waits(Rig { ledger: Arc::new(ledger), ..rig }, &trouble).await;
}

#[tokio::test]
async fn lines_are_filled_though_nobody_knows_what_is_due_next() {
    let (trouble, other) = (Arc::new(Switch::default()), Arc::new(Switch::default()));
    other.up();
    let rig = Rig::new();
    fill(&rig.sqlite).await;
    let ledger = Stubborn { ledger: rig.sqlite.clone(), dispatch: other, next_due: trouble };
    let broker = Arc::clone(&rig.broker);
    let running = Rig { ledger: Arc::new(ledger), ..rig }.start(&[FAILING, KIND]);
    take(&broker, KIND, JOBS).await;
    take(&broker, FAILING, JOBS).await;
    running.stop().await;
}

/// Whose quotas may be looked at once, and how often they may be still.
fn with_one_look() -> (Rig, Arc<Semaphore>) {
    let looks = Arc::new(Semaphore::new(1));
    let quotas = Hidden(MemoryQuotas::new([].into()), Arc::clone(&looks));
    (Rig { quotas: Arc::new(quotas), poll: HOUR, ..Rig::new() }, looks)
}

/// A handful at most, by what the last look has shown; the others wait for the next.
#[tokio::test]
async fn a_lone_job_does_not_wait_for_a_look() {
    let (rig, looks) = with_one_look();
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let broker = Arc::clone(&rig.broker);
    let running = rig.start(&[KIND]);
    Pace::REAL.becomes(0, async || looks.available_permits()).await;
    // It has seen that there is nothing, and is at rest.
    sleep(Duration::from_millis(500)).await;
    add(&ledger, run, jobs("many", 1, 20)).await;
    let few = take(&broker, KIND, 8).await;
    assert_eq!((few.len(), broker.depth(KIND).await.unwrap().ready), (8, 0));
    looks.add_permits(1);
    assert_eq!(take(&broker, KIND, 12).await.len(), 12);
    looks.close();
    running.dispatching.abort();
}

/// As long as they are few, and their line has room.
#[tokio::test]
async fn lone_jobs_one_after_the_other_take_no_look() {
    let (rig, looks) = with_one_look();
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let broker = Arc::clone(&rig.broker);
    let running = rig.start(&[FAILING, KIND]);
    Pace::REAL.becomes(0, async || looks.available_permits()).await;
    for seq in 1..=20 {
        add(&ledger, run, vec![job(seq, &format!("key-{seq}"))]).await;
        Pace::REAL.becomes(seq, async || broker.depth(KIND).await.unwrap().ready as u64).await;
    }
    looks.close();
    running.dispatching.abort();
}

#[tokio::test]
async fn jobs_without_an_upstream_go_while_the_quotas_cannot_be_looked_at() {
    let trouble = Arc::new(Switch::default());
    let quotas = Hidden(MemoryQuotas::new([].into()), Arc::clone(&trouble));
    let rig = Rig { quotas: Arc::new(quotas), ..Rig::new() };
    let ledger: Subject = Arc::new(rig.sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let jobs = (1..=2 * JOBS).map(|seq| {
        let upstream = (seq % 2 == 0).then(|| UPSTREAM.to_owned());
        NewJob { upstream, ..job(seq, &format!("key-{seq}")) }
    });
    add(&ledger, run, jobs.collect()).await;
    let broker = Arc::clone(&rig.broker);
    let running = rig.start(&[KIND]);
    assert_eq!(take(&broker, KIND, JOBS).await, vec![None; usize::try_from(JOBS).unwrap()]);
    trouble.up();
    let called = Some(UPSTREAM.to_owned());
    assert_eq!(take(&broker, KIND, JOBS).await, vec![called; usize::try_from(JOBS).unwrap()]);
    running.stop().await;
}
