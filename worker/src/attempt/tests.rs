//! A job that waited for a place among the calls for long is checked once more.

use std::sync::Mutex;

use async_trait::async_trait;
use fleetline_shared::domain::{
    DeadReason, Decision, DedupKey, Done, ENVELOPE_VERSION, Estimate, JobError, JobId, Kind, RunId,
};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas};
use fleetline_shared::ports::{Delivery, Finish, FinishLedger, Finished, Settle, Settlement};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;
use crate::flow::Flow;
use crate::intake::{Intake, Tasks};
use crate::{Worker, WorkerOptions};

const RENEW_AFTER: Duration = Duration::from_secs(10);

struct Echo;

impl Kind for Echo {
    const NAME: &'static str = "echo";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        Ok(Done::new(args))
    }
}

/// A ledger that gives this answer to every check.
struct Says {
    validity: Mutex<Validity>,
    finishes: UnboundedSender<Finish>,
}

#[async_trait]
impl FinishLedger for Says {
    async fn validity(&self, jobs: Vec<(JobId, u64)>, _: Duration) -> Result<Vec<Validity>, PortError> {
        Ok(vec![*self.validity.lock().unwrap(); jobs.len()])
    }

    async fn args(&self, _: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        unreachable!("the message carries them")
    }

    async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        let answers = vec![Finished::Recorded; finishes.len()];
        for finish in finishes {
            self.finishes.send(finish).unwrap();
        }
        Ok(answers)
    }
}

struct Settled;

#[async_trait]
impl Settle for Settled {
    async fn settle(self: Box<Self>, _: Settlement) -> Result<(), PortError> {
        Ok(())
    }
}

fn delivery() -> Delivery {
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        job_id: JobId::new(),
        run_id: RunId::new(),
        tenant: "t".into(),
        kind: Echo::NAME.into(),
        fence: 1,
        attempts: 0,
        max_attempts: 3,
        deadline_ms: None,
        dedup_key: DedupKey::from_bytes([0; 32]),
        upstream: None,
        estimate: Estimate::default(),
        args: Some(RawValue::from_string("1".into()).unwrap()),
    };
    Delivery::new(envelope.encode(), false, Box::new(Settled))
}

fn worker(ledger: Arc<Says>) -> Worker {
    let leases = Arc::new(MemoryLeases::new());
    Worker {
        registry: Registry::default().with(Echo),
        ledger,
        broker: Arc::new(MemoryBroker::new()),
        leases: leases.clone(),
        spare_leases: leases,
        quotas: Arc::new(MemoryQuotas::new(BTreeMap::new())),
        terms: BTreeMap::new(),
        options: WorkerOptions {
            concurrency: 1,
            grace: Duration::ZERO,
            lease_ttl: Duration::from_mins(1),
            renew_after: RENEW_AFTER,
            hold: Duration::ZERO,
            patience: Duration::ZERO,
            alone: true,
        },
    }
}

/// What becomes of a job that waits so long for the only place, and is found so then.
async fn after(wait: Duration, found: Validity) -> (Decision, u64) {
    let (finishes, mut outcomes): (_, UnboundedReceiver<Finish>) = unbounded_channel();
    let ledger = Arc::new(Says { validity: Mutex::new(Validity::Current), finishes });
    let (failed, _failures) = mpsc::channel(1);
    let attempts = Arc::new(worker(ledger.clone()).attempts(CancellationToken::new(), failed));
    let tasks = Tasks::default();
    let intake = Intake::start(&attempts, &tasks);
    let flow = Arc::new(Flow::new(1));
    let mut calling = flow.take().await;
    // What is long on its way to its call lets a second job come.
    sleep(RENEW_AFTER).await;
    let waiting = flow.take().await;
    calling.begin_call().await;
    assert!(intake.take(delivery(), waiting).await);
    // It is there before time goes on.
    sleep(wait).await;
    *ledger.validity.lock().unwrap() = found;
    drop(calling);
    let Finish { decision, usage, .. } = outcomes.recv().await.expect("an outcome");
    (decision, usage.calls)
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_for_what_is_over_when_its_place_is_free() {
    let (short, long) = (RENEW_AFTER / 2, RENEW_AFTER * 2);
    for (wait, found, calls) in [
        (long, Validity::Withdrawn, 0),
        (long, Validity::Expired, 0),
        (long, Validity::Stale, 0),
        (long, Validity::Current, 1),
        (short, Validity::Withdrawn, 1),
    ] {
        let (decision, made) = after(wait, found).await;
        assert_eq!(made, calls, "{wait:?}, {found:?}: {decision:?}");
        let is_so = match (calls, found) {
            (0, Validity::Withdrawn) => matches!(decision, Decision::Cancel),
            (0, Validity::Expired) => {
                matches!(decision, Decision::Die { reason: DeadReason::DeadlinePassed, .. })
            }
            (0, _) => matches!(decision, Decision::Ignore),
            _ => matches!(decision, Decision::Succeed(_)),
        };
        assert!(is_so, "{wait:?}, {found:?}: {decision:?}");
    }
}
