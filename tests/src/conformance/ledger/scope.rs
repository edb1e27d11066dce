//! A process that works for one run.

use std::time::Duration;

use fleetline_shared::domain::{JobState, NewJob, RunId, RunState};
use fleetline_shared::ports::{DispatchAsk, Scope, Swept};

use super::Subject;
use super::prelude::*;

async fn take_for(ledger: &Subject, run: RunId, limit: usize) -> Vec<(RunId, u64)> {
    let taken = ledger.dispatch(ask(Scope::Run(run), limit)).await.unwrap();
    taken.iter().map(|envelope| (envelope.run_id, seq_of(envelope))).collect()
}

/// And leaves the others where they are.
pub async fn a_run_gets_its_own_jobs_only(ledger: &Subject) {
    let first = run_of(ledger, jobs("first", 1, 2)).await;
    let second = run_of(ledger, jobs("second", 1, 1)).await;
    assert_eq!(take_for(ledger, second, 10).await, [(second, 1)]);
    assert!(take_for(ledger, second, 10).await.is_empty());
    assert_eq!(states(ledger, first).await, [JobState::Ready; 2]);
    assert_eq!(take(ledger, 10).await.len(), 2);
}

/// Otherwise it would wait for ever for a process that is not there.
pub async fn a_run_gets_the_twins_it_waits_for(ledger: &Subject) {
    let paused = NewJob { upstream: Some("paused".into()), ..job(4, "d") };
    let first = run_of(ledger, vec![job(1, "a"), job(2, "b"), job(3, "c"), paused.clone()]).await;
    let second = run_of(ledger, vec![job(1, "x"), job(2, "b"), job(3, "b"), paused]).await;
    let skipping = DispatchAsk { skip_upstreams: vec!["paused".into()], ..ask(Scope::Run(second), 10) };

    assert_eq!(take_for(ledger, second, 1).await, [(second, 1)], "no more than asked for");
    let taken = ledger.dispatch(skipping).await.unwrap();
    assert_eq!(taken.iter().map(|job| (job.run_id, seq_of(job))).collect::<Vec<_>>(), [(first, 2)]);
    record(ledger, &taken[0], success("for both")).await;
    assert_eq!(take_for(ledger, second, 10).await, [(first, 4)]);
    assert!(take_for(ledger, second, 10).await.is_empty());
    assert_eq!(rows(ledger, second).await[1].output_value(), Some("for both".into()));
}

/// The process that had them may be gone for good.
pub async fn a_run_sweeps_the_twins_it_waits_for(ledger: &Subject) {
    let first = run_of(ledger, vec![job(1, "a"), job(2, "b")]).await;
    let second = run_of(ledger, vec![job(1, "b")]).await;
    assert_eq!(take(ledger, 10).await.len(), 2);

    let swept = ledger.sweep(Scope::Run(second), Duration::ZERO, 3).await.unwrap();
    assert_eq!(swept, Swept { requeued: 1, crash_looped: 0, expired: 0 });
    assert_eq!(states(ledger, first).await, [JobState::Dispatched, JobState::Ready]);

    let taken = ledger.dispatch(ask(Scope::Run(second), 10)).await.unwrap();
    record(ledger, &taken[0], success("done")).await;
    assert_eq!(run_state(ledger, second).await, RunState::Finished);
    assert_eq!(run_state(ledger, first).await, RunState::Running);
}

/// What other runs wait for does not matter to it.
pub async fn a_run_waits_for_its_own_and_its_twins(ledger: &Subject) {
    let first = run_of(ledger, vec![job(1, "a"), job(2, "b")]).await;
    for (envelope, hours) in take(ledger, 10).await.iter().zip([2, 5]) {
        record(ledger, envelope, snooze(HOUR * hours)).await;
    }
    let second = run_of(ledger, vec![job(1, "b")]).await;
    let third = run_of(ledger, vec![job(1, "c")]).await;

    let due = |run| async move { ledger.next_due(Scope::Run(run)).await.unwrap() };
    let in_hours = |wait: Option<Duration>, hours| {
        wait.is_some_and(|wait| wait <= HOUR * hours && wait > HOUR * (hours - 1))
    };
    assert!(in_hours(due(first).await, 2));
    assert!(in_hours(due(second).await, 5));
    assert_eq!(due(third).await, None);
}
