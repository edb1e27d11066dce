//! What one process alone is not set up for, nobody is: its jobs end at once.

use std::collections::BTreeMap;

use fleetline_shared::domain::{AnalyserRef, DeadReason, JobState, LogArgs, NewJob};
use fleetline_worker::kinds::Kinds;
use serde_json::value::to_raw_value;

use crate::world::{World, policy};

#[tokio::test]
async fn a_job_for_an_analyser_that_is_not_there_ends_with_advice() {
    let kinds = Kinds::all(None, policy());
    let world = World::start(kinds.registry(), BTreeMap::new()).await;
    let builtin = kinds.analyser(LogArgs::KIND, "builtin").expect("it is always there").clone();
    let args = |analyser| LogArgs {
        analyser,
        logger: "shop".into(),
        level: "ERROR".into(),
        message: "it broke".into(),
        stack: None,
        timestamp: None,
        service: None,
        fingerprint: "f".into(),
        template: "t".into(),
    };
    let model = AnalyserRef { name: "openai".into(), model: Some("m".into()), version: "1".into() };
    let job = world.job(LogArgs::KIND, &args(builtin));
    let row = world.done(NewJob { args: to_raw_value(&args(model)).expect("plain JSON"), ..job }).await;
    assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::Permanent)), "{row:?}");
    let error = row.error.unwrap_or_default();
    assert!(error.contains("configure `openai`") && error.contains("redrive the job"), "{error}");
}
