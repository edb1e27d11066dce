//! Runs whose input nobody reads any more.

use std::time::Duration;

use fleetline_shared::domain::{IfLeft, JobState, NewRun, PortError, RunId, RunState};
use fleetline_shared::ports::{CancelJobs, Seal};

use super::Subject;
use super::prelude::*;

async fn read(ledger: &Subject, run: RunId, if_left: IfLeft) {
    ledger.still_reading(run, if_left).await.unwrap();
}

/// How many, of those that nobody reads at this moment.
async fn end_left(ledger: &Subject) -> u64 {
    let ended = ledger.end_left(Duration::ZERO).await.unwrap();
    check_counters(ledger).await;
    ended
}

/// What was accepted is worked off, and the run says why there is no more of it.
pub async fn a_run_that_was_left_is_sealed(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("a", 1, 2)).await;
    read(ledger, run, IfLeft::Sealed).await;
    assert_eq!(end_left(ledger).await, 1);
    assert_eq!(states(ledger, run).await, [JobState::Ready; 2]);
    for envelope in take(ledger, 2).await {
        record(ledger, &envelope, success("done")).await;
    }
    let row = run_row(ledger, run).await;
    assert_eq!((row.state, row.cancelled_at_ms), (RunState::Finished, None));
    assert!(row.notes["error"].as_str().unwrap().contains("not read to its end"), "{}", row.notes);
    assert_eq!(end_left(ledger).await, 0, "it has ended");
}

/// Nobody was told that any of it was accepted. What is under way ends with its attempt.
pub async fn an_upload_that_was_left_is_cancelled(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("a", 1, 3)).await;
    let taken = take(ledger, 1).await;
    read(ledger, run, IfLeft::Cancelled).await;
    assert_eq!(end_left(ledger).await, 1);
    assert_eq!(states(ledger, run).await[1..], [JobState::Cancelled; 2]);
    assert!(run_row(ledger, run).await.is_cancelling());
    record(ledger, &taken[0], retry(Duration::ZERO)).await;
    let row = run_row(ledger, run).await;
    assert_eq!((row.state, row.counts.cancelled, row.is_cancelling()), (RunState::Finished, 3, false));
    assert!(row.notes["error"].as_str().unwrap().contains("so the run was cancelled"), "{}", row.notes);
    let late = ledger.add_jobs(run, jobs("late", 4, 4)).await.unwrap_err();
    assert!(matches!(late, PortError::Invalid { .. }), "{late}");
}

/// One that nobody has said anything of is ended too.
pub async fn an_empty_run_that_was_left_is_finished(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    assert_eq!(end_left(ledger).await, 1);
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// However long it takes.
pub async fn a_run_that_is_read_stays_open(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    read(ledger, run, IfLeft::Cancelled).await;
    assert_eq!(ledger.end_left(HOUR).await.unwrap(), 0);
    assert_eq!(run_state(ledger, run).await, RunState::Open);
}

/// They need no reader.
pub async fn runs_that_are_read_to_their_end_are_not_left(ledger: &Subject) {
    let sealed = run_of(ledger, jobs("a", 1, 1)).await;
    let cancelled = open(ledger, TENANT).await;
    add(ledger, cancelled, jobs("b", 1, 1)).await;
    take(ledger, 10).await;
    ledger.cancel(TENANT, CancelJobs::Run(cancelled)).await.unwrap();
    for run in [sealed, cancelled] {
        read(ledger, run, IfLeft::Cancelled).await;
    }
    assert_eq!(end_left(ledger).await, 0);
    assert_eq!(states(ledger, sealed).await, [JobState::Dispatched]);
    assert_eq!(run_state(ledger, sealed).await, RunState::Running);
}

/// Its key is free: the same again is another run, which shares what is there.
pub async fn the_same_input_again_is_another_run(ledger: &Subject) {
    let keyed = |once| NewRun { idempotency_key: Some("k".into()), once, ..new_run(TENANT) };
    for (once, if_left) in [(true, IfLeft::Cancelled), (false, IfLeft::Sealed)] {
        let left = ledger.open_run(keyed(once)).await.unwrap().id;
        let key = format!("{once}");
        add(ledger, left, jobs(&key, 1, 1)).await;
        read(ledger, left, if_left).await;
        assert_eq!(end_left(ledger).await, 1);
        let again = ledger.open_run(keyed(once)).await.unwrap();
        assert!(!again.resumed && again.id != left);
        let added = add(ledger, again.id, jobs(&key, 1, 2)).await;
        assert_eq!((added.ready + added.attached, added.known), (2, 0));
        ledger.seal_run(again.id, Seal::default()).await.unwrap();
        while let Some(envelope) = take(ledger, 1).await.pop() {
            record(ledger, &envelope, success("done")).await;
        }
        assert_eq!(states(ledger, again.id).await, [JobState::Succeeded; 2]);
        assert_eq!(run_state(ledger, left).await, RunState::Finished);
        // The next one of the loop has the key to itself.
        ledger.open_run(keyed(false)).await.unwrap();
        assert_eq!(end_left(ledger).await, 1);
    }
}
