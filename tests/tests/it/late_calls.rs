//! A call that is not ready within its slot is not made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fleetline_shared::domain::{CallContext, Done, JobError, JobState, Kind, NewJob, Registry};
use fleetline_shared::ports::{Limits, Rate};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{Known, World};

/// Needs much longer than a slot lasts to prepare its first calls.
#[derive(Clone, Default)]
struct Slow {
    begun: Arc<AtomicU32>,
    made: Arc<AtomicU32>,
}

const LATE: u32 = 2;

impl Kind for Slow {
    const NAME: &'static str = "slow";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        if self.begun.fetch_add(1, Ordering::Relaxed) < LATE {
            sleep(Duration::from_millis(100)).await;
        }
        context.begin_call()?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Done::new(args))
    }
}

#[tokio::test]
async fn a_call_that_is_not_ready_in_its_slot_waits_for_another() {
    let slow = Slow::default();
    let requests = Some(Rate { amount: 1_000, window: Duration::from_secs(1) });
    let known = Known { limits: Limits { requests, ..Limits::default() }, ..Known::default() };
    let registry = Registry::default().with(slow.clone());
    let world = World::start(&registry, BTreeMap::from([("api".to_owned(), known)])).await;
    let job = NewJob { upstream: Some("api".into()), ..world.job("slow", &json!({})) };
    let row = world.done(job).await;
    assert_eq!((row.state, row.attempts, row.usage.calls), (JobState::Succeeded, 1, 1));
    assert_eq!(slow.made.load(Ordering::Relaxed), 1);
    assert!(slow.begun.load(Ordering::Relaxed) > LATE, "{row:?}");
}
