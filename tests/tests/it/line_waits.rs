//! A wait on the line is no part of the time after which a job counts as lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetline_shared::domain::{
    CallContext, DeadReason, Done, JobError, JobState, Kind, NewJob, Registry, RunId,
};
use fleetline_shared::ports::BacklogLedger;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use crate::world::{RENEW_AFTER, World};

/// Tells when a call begins; it ends when it may.
#[derive(Clone)]
struct Held {
    begun: mpsc::UnboundedSender<Value>,
    may_end: Arc<Semaphore>,
}

impl Kind for Held {
    const NAME: &'static str = "held";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        self.begun.send(args.clone()).expect("somebody listens");
        self.may_end.acquire().await.expect("it stays open").forget();
        Ok(Done::new(args))
    }
}

/// How long ago the run's job at this place was handed out, or taken.
async fn age(world: &World, run: RunId, place: usize) -> Option<Duration> {
    let rows = world.until(run, |rows| rows.len() == 2).await;
    world.ledger.standing(rows[place].job_id).await.expect("a ledger").expect("it is there").dispatched
}

#[tokio::test]
async fn a_job_that_waited_for_long_begins_its_time_when_it_is_taken() {
    let (begun, mut calls) = mpsc::unbounded_channel();
    let held = Held { begun, may_end: Arc::new(Semaphore::new(0)) };
    let world = World::start(&Registry::default().with(held.clone()), BTreeMap::new()).await;
    let run = world.submit(vec![world.job("held", &json!(0)), world.job("held", &json!(1))]).await;
    let first = calls.recv().await.expect("a call");
    let waiting = usize::from(first == json!(0));
    while age(&world, run, waiting).await.is_none_or(|age| age < 2 * RENEW_AFTER) {
        sleep(RENEW_AFTER / 2).await;
    }

    let from = Instant::now();
    held.may_end.add_permits(1);
    assert_ne!(calls.recv().await.expect("a call"), first);
    let age = age(&world, run, waiting).await.expect("it is handed out");
    // The ledger counts in milliseconds.
    assert!(age <= from.elapsed() + Duration::from_millis(1), "{age:?}");

    held.may_end.add_permits(1);
    let rows = world.finished(run).await;
    assert!(rows.iter().all(|row| row.state == JobState::Succeeded && row.attempts == 1), "{rows:?}");
}

#[tokio::test]
async fn a_job_whose_deadline_passed_on_the_line_is_not_called_for() {
    let (begun, mut calls) = mpsc::unbounded_channel();
    let held = Held { begun, may_end: Arc::new(Semaphore::new(0)) };
    let world = World::start(&Registry::default().with(held.clone()), BTreeMap::new()).await;
    let first = world.submit(vec![world.job("held", &json!(0))]).await;
    calls.recv().await.expect("a call");
    let deadline = Some(Duration::from_millis(200));
    let late = world.submit(vec![NewJob { deadline, ..world.job("held", &json!(1)) }]).await;
    let job = world.until(late, |rows| rows.len() == 1).await[0].job_id;
    let is_over = async || {
        let standing = world.ledger.standing(job).await.expect("a ledger").expect("it is there");
        standing.deadline_in.is_none_or(|left| left.is_zero())
    };
    while !is_over().await {
        sleep(Duration::from_millis(10)).await;
    }
    held.may_end.add_permits(1);
    let row = world.finished(late).await.remove(0);
    assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::DeadlinePassed)), "{row:?}");
    world.finished(first).await;
    assert!(calls.try_recv().is_err(), "it was called for");
}
