//! A worker beside others: what it takes of a line.

use std::sync::atomic::{AtomicU32, Ordering};

use fleetline_shared::domain::{DedupKey, Envelope, Kind};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases};
use fleetline_shared::ports::{Depth, Holder, Message, lease_key};

use super::*;
use crate::attempt::tests::{Says, Slow, envelope, worker};
use crate::intake::GRACE;

const CONCURRENCY: usize = 8;
const JOBS: u8 = 40;
const HOUR: Duration = Duration::from_hours(1);

/// Jobs, one call each.
fn jobs() -> Vec<Envelope> {
    let job = |number| Envelope { dedup_key: DedupKey::from_bytes([number; 32]), ..envelope(Slow::NAME) };
    (0..JOBS).map(job).collect()
}

/// What a worker has of a line whose messages were another's, early and late in the grace and long after it, and how
/// many calls it makes then. The other one has leases with this token.
async fn inherits(token: u64) -> ([usize; 3], u32) {
    let (broker, leases) = (Arc::new(MemoryBroker::new()), Arc::new(MemoryLeases::new()));
    let mut had = broker.consume(Slow::NAME, JOBS.into()).await.unwrap();
    let mut deliveries = Vec::new();
    for job in jobs() {
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
