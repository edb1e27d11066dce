//! A worker beside others: what it takes of a line.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use fleetline_shared::domain::{Decision, DedupKey, Envelope, JobId, Kind};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases};
use fleetline_shared::ports::{
    Deliveries, Delivery, Depth, Holder, Message, Settle, Settlement, Unpublished, lease_key,
};
use tokio::time::timeout;

use super::*;
use crate::attempt::tests::{Echo, Says, Slow, envelope, worker};
use crate::intake::GRACE;

const CONCURRENCY: usize = 8;
const JOBS: u8 = 40;
const HOUR: Duration = Duration::from_hours(1);

/// Jobs, one call each.
fn jobs(kind: &str) -> Vec<Envelope> {
    let job = |number| Envelope { dedup_key: DedupKey::from_bytes([number; 32]), ..envelope(kind) };
    (0..JOBS).map(job).collect()
}

/// What a worker has of a line whose messages were another's, early and late in the grace and long after it, and how
/// many calls it makes then. The other one has leases with this token.
async fn inherits(token: u64) -> ([usize; 3], u32) {
    let (broker, leases) = (Arc::new(MemoryBroker::new()), Arc::new(MemoryLeases::new()));
    let mut had = broker.consume(Slow::NAME, JOBS.into()).await.unwrap();
    let mut deliveries = Vec::new();
    for job in jobs(Slow::NAME) {
        let holder = Holder { job: job.job_id, fence: job.fence, token, nonce: 1 };
        leases.acquire(&lease_key(&job.tenant, &job.kind, &job.dedup_key), holder, HOUR).await.unwrap();
        let message = Message { line: Slow::NAME.into(), id: job.job_id, body: job.encode() };
        broker.publish(vec![message]).await.remove(0).unwrap();
        deliveries.push(had.next().await);
    }
    drop((had, deliveries));
    let calls = Arc::<AtomicU32>::default();
    let (ledger, _outcomes) = Says::current();
    let usual = worker(ledger);
    let worker = Worker {
        registry: Registry::default().with(Slow(calls.clone())),
        broker: broker.clone(),
        leases: leases.clone(),
        spare_leases: leases,
        options: WorkerOptions { concurrency: CONCURRENCY, ..usual.options },
        ..usual
    };
    tokio::spawn(worker.run(CancellationToken::new(), CancellationToken::new()));
    let mut has = [0; 3];
    for (has, wait) in has.iter_mut().zip([GRACE / 10, GRACE * 8 / 10, 20 * GRACE]) {
        sleep(wait).await;
        let Depth { unsettled, .. } = broker.depth(Slow::NAME).await.unwrap();
        *has = unsettled;
    }
    (has, calls.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn of_a_dead_neighbours_jobs_a_worker_takes_as_many_as_it_has_places() {
    assert_eq!(inherits(0).await, ([CONCURRENCY; 3], 8));
}

/// Those wait here, in vain perhaps, while a third one could do them if their worker died.
#[tokio::test(start_paused = true)]
async fn of_jobs_that_a_neighbour_is_at_a_worker_takes_no_more_than_twice_as_many() {
    assert_eq!(inherits(u64::MAX).await, ([CONCURRENCY, CONCURRENCY, 2 * CONCURRENCY], 0));
}

/// Has an alarm: it takes no dead letters.
#[derive(Default)]
struct Alarmed(MemoryBroker);

#[async_trait]
impl Broker for Alarmed {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        self.0.publish(messages).await
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        Ok(Box::new(OfAlarmed(self.0.consume(line, prefetch).await?)))
    }

    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
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

struct OfAlarmed(Box<dyn Deliveries>);

#[async_trait]
impl Deliveries for OfAlarmed {
    async fn next(&mut self) -> Option<Result<Delivery, PortError>> {
        let delivery = self.0.next().await?;
        Some(delivery.map(|delivery| Delivery::new(delivery.body.clone(), false, Box::new(Kept(delivery)))))
    }
}

/// Is acknowledged, or waits for the end of the alarm.
struct Kept(Delivery);

#[async_trait]
impl Settle for Kept {
    async fn settle(self: Box<Self>, how: Settlement) -> Result<(), PortError> {
        match how {
            Settlement::Ack => self.0.ack().await,
            Settlement::Reject { .. } => std::future::pending().await,
        }
    }
}

/// As many as let good ones through: one less than what is handed over, which is twice the concurrency.
const GARBAGE: usize = 2 * CONCURRENCY - 1;

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_rejected_hold_up_neither_jobs_nor_the_end() {
    let broker = Arc::new(Alarmed::default());
    let publish = async |body: Vec<u8>| {
        let message = Message { line: Echo::NAME.into(), id: JobId::new(), body };
        broker.publish(vec![message]).await.remove(0).unwrap();
    };
    for _ in 0..GARBAGE {
        publish(b"garbage".to_vec()).await;
    }
    for job in jobs(Echo::NAME) {
        publish(job.encode()).await;
    }
    let (ledger, mut outcomes) = Says::current();
    let usual = worker(ledger);
    let options = WorkerOptions { concurrency: CONCURRENCY, grace: HOUR, ..usual.options };
    let worker = Worker { broker: broker.clone(), options, ..usual };
    let drain = CancellationToken::new();
    let working = tokio::spawn(worker.run(drain.clone(), CancellationToken::new()));
    let done = async {
        for _ in 0..JOBS {
            let recorded = outcomes.recv().await.expect("an outcome");
            assert!(matches!(recorded.decision, Decision::Succeed(_)), "{recorded:?}");
        }
    };
    timeout(HOUR, done).await.expect("they are done");
    drain.cancel();
    timeout(HOUR / 2, working).await.expect("it ends before its grace does").unwrap().unwrap();
    sleep(GRACE).await;
    assert_eq!(broker.depth(Echo::NAME).await.unwrap(), Depth { ready: GARBAGE, unsettled: 0 });
}
