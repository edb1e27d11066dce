//! Work that is not wanted any more.

use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, JobId, JobState, PortError, RunId, RunState};
use fleetline_shared::ports::{CancelJobs, Cancelled, Scope, Validity};

use super::Subject;
use super::prelude::*;

async fn cancel(ledger: &Subject, which: CancelJobs) -> Cancelled {
    let cancelled = ledger.cancel(TENANT, which).await.unwrap();
    check_counters(ledger).await;
    cancelled
}

/// Ready ones and attached ones; the run is finished then.
pub async fn what_waits_is_cancelled_at_once(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "a"), job(2, "a"), job(3, "b")]).await;
    let cancelled = cancel(ledger, CancelJobs::Run(run)).await;
    assert_eq!(cancelled, Cancelled { cancelled: 3, under_way: 0 });
    assert_eq!(states(ledger, run).await, [JobState::Cancelled; 3]);
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
    assert!(take(ledger, 10).await.is_empty());
}

/// The worker learns of it when it asks, before it pays.
pub async fn a_job_handed_out_ends_before_its_call(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(ledger).await;
    let cancelled = cancel(ledger, CancelJobs::Run(run)).await;
    assert_eq!(cancelled, Cancelled { cancelled: 0, under_way: 1 });
    let asked = vec![(envelope.job_id, envelope.fence)];
    assert_eq!(ledger.validity(asked, HOUR).await.unwrap(), [Validity::Withdrawn]);
    record(ledger, &envelope, Decision::Cancel).await;
    assert_eq!(states(ledger, run).await, [JobState::Cancelled]);
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// It is paid for.
pub async fn a_success_under_way_is_recorded(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(ledger).await;
    cancel(ledger, CancelJobs::Run(run)).await;
    record(ledger, &envelope, success("done")).await;
    assert_eq!(states(ledger, run).await, [JobState::Succeeded]);
}

/// Neither a failure nor a wait leads to another attempt; a death stays a death.
pub async fn a_failure_under_way_is_not_tried_again(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let taken = take(ledger, 3).await;
    cancel(ledger, CancelJobs::Run(run)).await;
    record(ledger, &taken[0], retry(Duration::ZERO)).await;
    record(ledger, &taken[1], snooze(Duration::ZERO)).await;
    record(ledger, &taken[2], die(DeadReason::Permanent)).await;
    let expected = [JobState::Cancelled, JobState::Cancelled, JobState::Dead];
    assert_eq!(states(ledger, run).await, expected);
    assert!(take(ledger, 10).await.is_empty());
}

/// Its worker died with it.
pub async fn a_lost_one_is_not_handed_out_again(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    take_one(ledger).await;
    cancel(ledger, CancelJobs::Run(run)).await;
    ledger.sweep(Scope::All, Duration::ZERO, 20).await.unwrap();
    assert_eq!(states(ledger, run).await, [JobState::Cancelled]);
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// Another run still wants the result.
pub async fn an_attached_job_of_another_run_takes_its_place(ledger: &Subject) {
    let first = run_of(ledger, vec![job(1, "a")]).await;
    let second = run_of(ledger, vec![job(1, "a")]).await;
    cancel(ledger, CancelJobs::Run(first)).await;
    assert_eq!(states(ledger, second).await, [JobState::Ready]);
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(states(ledger, first).await, [JobState::Cancelled]);
    assert_eq!(states(ledger, second).await, [JobState::Succeeded]);
}

/// Only that one.
pub async fn one_job_can_be_cancelled(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let second = rows(ledger, run).await[1].job_id;
    let cancelled = cancel(ledger, CancelJobs::Job(second)).await;
    assert_eq!(cancelled, Cancelled { cancelled: 1, under_way: 0 });
    assert_eq!(seqs(&take(ledger, 10).await), [1, 3]);
}

/// Cancelling twice changes nothing either.
pub async fn terminal_jobs_stay_as_they_are(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    record(ledger, &take(ledger, 1).await[0], success("done")).await;
    assert_eq!(cancel(ledger, CancelJobs::Run(run)).await.cancelled, 1);
    assert_eq!(cancel(ledger, CancelJobs::Run(run)).await, Cancelled::default());
    assert_eq!(states(ledger, run).await, [JobState::Succeeded, JobState::Cancelled]);
}

/// Its producer may still be reading the input.
pub async fn a_cancelled_run_takes_no_more_jobs(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("a", 1, 2)).await;
    let kept = take(ledger, 1).await;
    cancel(ledger, CancelJobs::Run(run)).await;
    let refused = ledger.add_jobs(run, jobs("b", 3, 4)).await.unwrap_err();
    assert!(matches!(refused, PortError::Invalid { .. }), "{refused}");
    record(ledger, &kept[0], success("done")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// Nor what is not there.
pub async fn other_tenants_work_cannot_be_cancelled(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let job = rows(ledger, run).await[0].job_id;
    for (tenant, which) in [
        ("other", CancelJobs::Run(run)),
        ("other", CancelJobs::Job(job)),
        (TENANT, CancelJobs::Run(RunId::new())),
        (TENANT, CancelJobs::Job(JobId::new())),
    ] {
        let refused = ledger.cancel(tenant, which).await.unwrap_err();
        assert!(matches!(refused, PortError::Invalid { .. }), "{refused}");
    }
    assert_eq!(states(ledger, run).await, [JobState::Ready]);
}

/// There was nothing to cancel.
pub async fn a_finished_run_was_not_cancelled(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(cancel(ledger, CancelJobs::Run(run)).await, Cancelled::default());
    let row = run_row(ledger, run).await;
    assert_eq!((row.state, row.cancelled_at_ms), (RunState::Finished, None));
}

/// Until then it says that it is being cancelled.
pub async fn a_cancelled_run_is_over_with_its_attempts(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    let taken = take(ledger, 1).await;
    assert!(!run_row(ledger, run).await.is_cancelling());
    cancel(ledger, CancelJobs::Run(run)).await;
    let row = run_row(ledger, run).await;
    assert!(row.is_cancelling());
    assert_eq!(row.counts.jobs - row.counts.terminal(), 1, "under way");
    record(ledger, &taken[0], success("done")).await;
    let row = run_row(ledger, run).await;
    assert!(!row.is_cancelling() && row.finished_at_ms >= row.cancelled_at_ms);
    cancel(ledger, CancelJobs::Run(run)).await;
    assert_eq!(run_row(ledger, run).await.cancelled_at_ms, row.cancelled_at_ms);
}
