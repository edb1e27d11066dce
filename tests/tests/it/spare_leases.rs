//! Jobs that need no server for their lease go on while the fleet's leases give no answer.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{
    CallContext, Done, Envelope, JobError, JobId, JobState, Kind, NewJob, PortError, Registry,
};
use fleetline_shared::embedded::{MemoryBroker, MemoryLeases, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{Acquired, Broker, Held, Hold, Holder, Leases, Message, lease_key};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, job, open, rows, take};
use fleetline_worker::{Worker, WorkerOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

struct Work;

impl Kind for Work {
    const NAME: &'static str = KIND;
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        Ok(Done::new(args))
    }
}

/// A server that takes requests and never answers.
struct Silent;

#[async_trait]
impl Leases for Silent {
    async fn acquire_all(&self, _: &[Hold], _: Duration) -> Result<Vec<Acquired>, PortError> {
        pending().await
    }

    async fn renew_all(&self, _: &[Hold], _: Duration) -> Result<Vec<bool>, PortError> {
        pending().await
    }

    async fn release_all(&self, _: &[Hold]) -> Result<Vec<bool>, PortError> {
        pending().await
    }

    async fn holder(&self, _: &str) -> Result<Option<Held>, PortError> {
        pending().await
    }
}

fn worker(
    ledger: SqliteLedger,
    broker: Arc<dyn Broker>,
    leases: Arc<dyn Leases>,
    spare_leases: Arc<dyn Leases>,
) -> Worker {
    Worker {
        registry: Registry::default().with(Work),
        ledger: Arc::new(ledger),
        broker,
        leases,
        spare_leases,
        quotas: Arc::new(MemoryQuotas::new(BTreeMap::new())),
        terms: BTreeMap::new(),
        options: WorkerOptions {
            concurrency: 20,
            grace: Duration::ZERO,
            lease_ttl: Duration::from_secs(30),
            renew_after: Duration::from_mins(1),
            hold: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            alone: true,
        },
    }
}

fn message(envelope: &Envelope) -> Message {
    Message { line: KIND.into(), id: envelope.job_id, body: envelope.encode() }
}

/// Whoever has it may be done with it long before it expires.
#[tokio::test]
async fn a_lease_that_another_holds_says_nothing_of_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let ledger: Subject = Arc::new(sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let deadline = Some(Duration::from_secs(20));
    add(&ledger, run, vec![NewJob { deadline, ..job(1, "key") }]).await;
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let envelope = take(&ledger, 1).await.remove(0);
    broker.publish(vec![message(&envelope)]).await;
    let leases = Arc::new(MemoryLeases::new());
    let other = Holder { job: JobId::new(), fence: 1, token: 0, nonce: 0 };
    let key = lease_key(TENANT, KIND, &envelope.dedup_key);
    leases.acquire(&key, other, Duration::from_secs(30)).await.unwrap();
    let worker = worker(sqlite, broker, leases.clone(), leases);
    let working = worker.run(CancellationToken::new(), CancellationToken::new());
    let put_off = async {
        let mut changes = ledger.changes();
        loop {
            let row = rows(&ledger, run).await.remove(0);
            if row.state != JobState::Dispatched {
                return row;
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
        }
    };
    let row = tokio::select! {
        ended = working => panic!("{ended:?}"),
        row = tokio::time::timeout(Duration::from_secs(30), put_off) => row.expect("it is put off"),
    };
    assert_eq!((row.state, row.attempts), (JobState::Ready, 0), "{row:?}");
}

#[tokio::test]
async fn jobs_that_need_no_server_do_not_wait_behind_those_that_do() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let ledger: Subject = Arc::new(sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let jobs = (1..=20).map(|seq| {
        let upstream = (seq % 2 == 0).then(|| "api".to_owned());
        NewJob { upstream, ..job(seq, &format!("key-{seq}")) }
    });
    add(&ledger, run, jobs.collect()).await;
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let envelopes = take(&ledger, 20).await;
    broker.publish(envelopes.iter().map(message).collect()).await;
    let worker = worker(sqlite, broker, Arc::new(Silent), Arc::new(MemoryLeases::new()));
    let working = worker.run(CancellationToken::new(), CancellationToken::new());
    // Not what also checks the counters: they go on between its reads.
    let states = async || rows(&ledger, run).await.into_iter().map(|row| row.state).collect::<Vec<_>>();
    let all_but_those = async {
        let mut changes = ledger.changes();
        loop {
            let states = states().await;
            if states.iter().filter(|state| **state == JobState::Succeeded).count() >= 10 {
                return states;
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
        }
    };
    let states = tokio::select! {
        ended = working => panic!("{ended:?}"),
        states = tokio::time::timeout(Duration::from_secs(30), all_but_those) => states.expect("they go on"),
    };
    for (state, seq) in states.into_iter().zip(1..) {
        let expected = if seq % 2 == 0 { JobState::Dispatched } else { JobState::Succeeded };
        assert_eq!(state, expected, "job {seq}");
    }
}
