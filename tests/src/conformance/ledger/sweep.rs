//! Jobs that were handed over and never came back.

use std::time::Duration;

use fleetline_shared::domain::{DeadReason, JobState, RunState};
use fleetline_shared::ports::{Finished, Scope, Swept};

use super::Subject;
use super::prelude::*;

async fn sweep_all(ledger: &Subject, max_losses: u16) -> Swept {
    let swept = ledger.sweep(Scope::All, Duration::ZERO, max_losses).await.unwrap();
    check_counters(ledger).await;
    swept
}

/// What was handed over lately is probably under way.
pub async fn only_older_dispatches_are_swept(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    take(ledger, 2).await;
    assert_eq!(ledger.sweep(Scope::All, HOUR, 3).await.unwrap(), Swept::default());
    assert_eq!(states(ledger, run).await, [JobState::Dispatched; 2]);
    assert_eq!(sweep_all(ledger, 3).await, Swept { requeued: 2, crash_looped: 0 });
    assert_eq!(states(ledger, run).await, [JobState::Ready; 2]);
}

/// At once, with a new fence; what the lost attempt reports later is stale.
pub async fn a_swept_job_goes_again(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 1)).await;
    let lost = take_one(ledger).await;
    sweep_all(ledger, 3).await;
    let again = take_one(ledger).await;
    assert_eq!((again.fence, again.attempts), (lost.fence + 1, 0), "a loss is no attempt");
    let late = ledger.finish(vec![finish_of(&lost, success("late"))]).await.unwrap();
    assert_eq!(late, [Finished::Stale]);
    record(ledger, &again, success("done")).await;
}

/// A job that takes its process down again and again.
pub async fn losses_end_in_a_crash_loop(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    for loss in 1..=3 {
        let taken = take(ledger, 2).await;
        if loss == 1 {
            record(ledger, &taken[1], success("innocent")).await;
        }
        let expected = Swept { requeued: u64::from(loss < 3), crash_looped: u64::from(loss == 3) };
        assert_eq!(sweep_all(ledger, 3).await, expected, "loss {loss}");
    }
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(DeadReason::CrashLoop)));
    assert!(row.error.unwrap().contains("3 times"));
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// It may be the machine's fault, and it has losses of its own.
pub async fn an_heir_takes_a_crash_loopers_place(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "same"), job(2, "same"), job(3, "same")]).await;
    take_one(ledger).await;
    assert_eq!(sweep_all(ledger, 1).await, Swept { requeued: 0, crash_looped: 1 });
    assert_eq!(states(ledger, run).await, [JobState::Dead, JobState::Ready, JobState::Attached]);
    let heir = take_one(ledger).await;
    assert_eq!(seq_of(&heir), 2);
    assert_eq!(sweep_all(ledger, 2).await, Swept { requeued: 1, crash_looped: 0 });
}

/// Ready, attached and terminal jobs are where they should be.
pub async fn what_is_not_dispatched_is_left(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "a"), job(2, "b"), job(3, "b")]).await;
    record(ledger, &take(ledger, 1).await[0], success("done")).await;
    assert_eq!(sweep_all(ledger, 1).await, Swept::default());
    assert_eq!(states(ledger, run).await, [JobState::Succeeded, JobState::Ready, JobState::Attached]);
}
