//! A dispatcher that has nothing left lets jobs go out with their submission.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{Envelope, JobId, NewJob, PortError};
use fleetline_shared::embedded::{MemoryBroker, MemoryQuotas};
use fleetline_shared::ports::{
    DispatchAsk, DispatchLedger, Limits, News, Offer, OfferLedger, Rate, Scope, SubmitLedger, Swept,
};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::Pace;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, job, jobs, new_run};
use fleetline_tests::services::Database;
use serde_json::Value;
use tokio::sync::watch;

use super::again::next;
use super::{Rig, UPSTREAM};

/// A ledger in Postgres. Counts the dispatches, and the offers that it has now.
struct Watched {
    ledger: PostgresLedger,
    dispatches: AtomicUsize,
    offer: watch::Sender<Option<Offer>>,
}

#[async_trait]
impl OfferLedger for Watched {
    fn offer(&self, offer: Option<Offer>) {
        self.ledger.offer(offer.clone());
        self.offer.send_replace(offer);
    }

    async fn offered(&self) -> Option<Result<Vec<Envelope>, PortError>> {
        self.ledger.offered().await
    }
}

#[async_trait]
impl DispatchLedger for Watched {
    async fn dispatch(&self, ask: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        self.dispatches.fetch_add(1, Ordering::SeqCst);
        self.ledger.dispatch(ask).await
    }

    async fn handed_out(&self, scope: Scope, kind: &str) -> Result<Vec<JobId>, PortError> {
        self.ledger.handed_out(scope, kind).await
    }

    async fn messages(&self, kind: &str, jobs: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        self.ledger.messages(kind, jobs).await
    }

    async fn next_due(&self, scope: Scope) -> Result<Option<Duration>, PortError> {
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

/// Nobody looks for work but when something is new, and nobody says that of what happened before.
async fn rig() -> (Rig, Database, Arc<Watched>) {
    let database = Database::new().await;
    let options = PostgresOptions { listen: false, ..database.options() };
    let ledger = Arc::new(Watched {
        ledger: PostgresLedger::open(&options).await.unwrap(),
        dispatches: AtomicUsize::new(0),
        offer: watch::Sender::new(None),
    });
    let few = Some(Rate { amount: 6, window: Duration::from_mins(1) });
    let limits = [(UPSTREAM.to_owned(), Limits { requests: few, ..Limits::default() })];
    let quotas = Arc::new(MemoryQuotas::new(limits.into()));
    let poll = Duration::from_hours(1);
    let rig =
        Rig { ledger: ledger.clone(), broker: Arc::new(MemoryBroker::new()), quotas, poll, ..Rig::new() };
    (rig, database, ledger)
}

async fn submit(ledger: &PostgresLedger, jobs: Vec<NewJob>) {
    ledger.submit_run(new_run(TENANT), jobs, Value::Null).await.unwrap();
}

#[tokio::test]
async fn a_lone_job_is_not_looked_for() {
    let (rig, _database, ledger) = rig().await;
    let broker = Arc::clone(&rig.broker);
    let mut offers = ledger.offer.subscribe();
    let running = rig.start(&[KIND, "another"]);
    let offer = Pace::REAL.soon(offers.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert_eq!(offer.skip_upstreams, [UPSTREAM], "it may have fewer than there is room for");
    let looked = ledger.dispatches.load(Ordering::SeqCst);
    for n in 0..40 {
        submit(&ledger.ledger, jobs(&format!("{n}"), 1, 1)).await;
    }
    let fences: Vec<_> = next(&broker, 40).await.iter().map(|envelope| envelope.fence).collect();
    assert_eq!(fences, [1; 40]);
    assert_eq!(ledger.dispatches.load(Ordering::SeqCst), looked);

    let limited = NewJob { upstream: Some(UPSTREAM.into()), ..job(1, "limited") };
    submit(&ledger.ledger, vec![limited]).await;
    assert_eq!(next(&broker, 1).await[0].upstream.as_deref(), Some(UPSTREAM));
    running.stop().await;
    assert!(ledger.offer.borrow().is_none());
}

#[tokio::test]
async fn who_ends_publishes_what_took_of_its_offer() {
    let (rig, database, ledger) = rig().await;
    let broker = Arc::clone(&rig.broker);
    let mut offers = ledger.offer.subscribe();
    let running = rig.start(&[KIND]);
    Pace::REAL.soon(offers.wait_for(Option::is_some)).await.unwrap();
    let mut holder = database.hold_keys().await;
    let submitting = {
        let ledger = ledger.ledger.clone();
        tokio::spawn(async move { submit(&ledger, jobs("a", 1, 1)).await })
    };
    database.waiting(1).await;
    running.drain.cancel();
    Pace::REAL.soon(offers.wait_for(Option::is_none)).await.unwrap();
    assert!(!running.dispatching.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    submitting.await.unwrap();
    running.stop().await;
    assert_eq!(broker.depth(KIND).await.unwrap().ready, 1);
}
