//! Jobs that another job's success brings forth.

use std::time::Duration;

use fleetline_shared::domain::{
    Decision, Envelope,
    JobState::{self, Attached, Dispatched, Ready, Succeeded},
    NewJob, RunState, Source,
};
use fleetline_shared::ports::{CancelJobs, Finished};

use super::Subject;
use super::prelude::*;

fn follow_up(parent: &Envelope, key: &str) -> NewJob {
    let source = Source::FollowUp { follows: parent.job_id };
    NewJob { seq: None, source, args: raw(r#"{"seq":100}"#), ..job(0, key) }
}

fn with(follow_ups: Vec<NewJob>) -> Decision {
    let mut done = done("parent");
    done.follow_ups = follow_ups;
    Decision::Succeed(done)
}

/// Not with a stale finish, and not again with a repeated one.
pub async fn they_come_once_with_the_success(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let old = take_one(ledger).await;
    record(ledger, &old, snooze(Duration::ZERO)).await;
    let parent = take_one(ledger).await;
    let children = |key| with(vec![follow_up(&parent, key), follow_up(&parent, &format!("{key}2"))]);

    let answers = ledger.finish(vec![finish_of(&old, children("stale"))]).await.unwrap();
    assert_eq!(answers, [Finished::Stale]);
    let twice = vec![finish_of(&parent, children("b")), finish_of(&parent, children("c"))];
    assert_eq!(ledger.finish(twice).await.unwrap(), [Finished::Recorded, Finished::Stale]);
    assert_eq!(states(ledger, run).await, [JobState::Succeeded, JobState::Ready, JobState::Ready]);
    let source = Source::FollowUp { follows: parent.job_id };
    assert_eq!(rows(ledger, run).await[1].source, source);
}

/// Although every job that was submitted is done.
pub async fn they_keep_the_run_unfinished(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let parent = take_one(ledger).await;
    record(ledger, &parent, with(vec![follow_up(&parent, "b")])).await;
    assert_eq!(run_state(ledger, run).await, RunState::Running);
    record(ledger, &take_one(ledger).await, success("child")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
    assert_eq!(run_row(ledger, run).await.counts.jobs, 2);
}

/// Against live twins, finished ones, each other and their parent.
pub async fn they_are_deduplicated(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "parent"), job(2, "live"), job(3, "done")]).await;
    let taken = take(ledger, 10).await;
    record(ledger, &taken[2], success("earlier")).await;
    let keys = ["live", "done", "new", "new", "parent"];
    let children = keys.iter().map(|key| follow_up(&taken[0], key)).collect();
    record(ledger, &taken[0], with(children)).await;
    let expected = [Succeeded, Dispatched, Succeeded, Attached, Succeeded, Ready, Attached, Succeeded];
    assert_eq!(states(ledger, run).await, expected);
    assert_eq!(rows(ledger, run).await[7].result_of, Some(taken[0].job_id));
    record(ledger, &taken[1], success("live")).await;
    record(ledger, &take_one(ledger).await, success("new")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// Whatever scope they are asked for in.
pub async fn they_inherit_tenant_and_run(ledger: &Subject) {
    let run = open(ledger, "globex").await;
    add(ledger, run, jobs("a", 1, 1)).await;
    let parent = take_one(ledger).await;
    record(ledger, &parent, with(vec![follow_up(&parent, "b")])).await;
    let child = take_one(ledger).await;
    assert_eq!((child.tenant.as_str(), child.run_id), ("globex", run));
    assert_eq!(child.fence, 1);
}

/// As with jobs that are submitted; the parent succeeds all the same.
pub async fn a_number_that_is_there_is_skipped(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    let taken = take(ledger, 2).await;
    let numbered = NewJob { seq: Some(2), ..follow_up(&taken[0], "b") };
    record(ledger, &taken[0], with(vec![numbered])).await;
    assert_eq!(states(ledger, run).await, [JobState::Succeeded, JobState::Dispatched]);
}

/// Of the job or of its run; the success is paid for, and recorded.
pub async fn none_come_after_a_cancel(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    let taken = take(ledger, 2).await;
    let cancels = [CancelJobs::Job(taken[0].job_id), CancelJobs::Run(run)];
    for (parent, which) in taken.iter().zip(cancels) {
        ledger.cancel(TENANT, which).await.unwrap();
        record(ledger, parent, with(vec![follow_up(parent, &format!("after {}", parent.job_id))])).await;
    }
    assert_eq!(states(ledger, run).await, [JobState::Succeeded; 2]);
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// A run that waits for the same thing, and is not cancelled, gets them with the result.
pub async fn they_come_where_they_are_still_wanted(ledger: &Subject) {
    let cancelled = run_of(ledger, vec![job(1, "a")]).await;
    let waiting = run_of(ledger, vec![job(1, "a")]).await;
    let parent = take_one(ledger).await;
    ledger.cancel(TENANT, CancelJobs::Run(cancelled)).await.unwrap();
    record(ledger, &parent, with(vec![follow_up(&parent, "b")])).await;
    assert_eq!(states(ledger, cancelled).await, [JobState::Succeeded]);
    assert_eq!(states(ledger, waiting).await, [JobState::Succeeded, JobState::Ready]);
}
