//! An outcome that the ledger cannot hold ends its job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fleetline_shared::domain::{CallContext, DeadReason, Done, JobError, JobState, Kind, Registry};
use serde_json::{Value, json};

use crate::world::World;

/// Its results are what the ledger refuses.
#[derive(Clone, Default)]
struct Poison(Arc<AtomicU32>);

impl Kind for Poison {
    const NAME: &'static str = "poison";
    type Args = Value;
    type Output = Value;

    async fn perform(&self, args: Value, context: &CallContext) -> Result<Done<Value>, JobError> {
        context.begin_call()?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Done { facts: vec![json!("poison")], ..Done::new(args) })
    }
}

#[tokio::test]
async fn a_refused_outcome_costs_one_call_and_says_why() {
    let poison = Poison::default();
    let world = World::start(&Registry::default().with(poison.clone()), BTreeMap::new()).await;
    let refuse = "CREATE TRIGGER poison BEFORE INSERT ON facts WHEN NEW.data LIKE '%poison%'
                  BEGIN SELECT RAISE(ABORT, 'poisoned'); END;";
    rusqlite::Connection::open(world.file()).unwrap().execute_batch(refuse).unwrap();
    let row = world.done(world.job("poison", &json!({}))).await;
    assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::Permanent)));
    assert!(row.error.as_ref().is_some_and(|error| error.contains("poisoned")), "{row:?}");
    assert_eq!((row.attempts, row.usage.calls), (1, 1));
    assert_eq!(poison.0.load(Ordering::Relaxed), 1);
}
