//! Duplicates that wait for their live twin.

use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, JobState, NewJob, RunId, RunState, Usage};
use fleetline_shared::ports::Added;
use serde_json::json;

use super::Subject;
use super::prelude::*;

/// Two in one run, one in another.
async fn three_twins(ledger: &Subject) -> (RunId, RunId) {
    let first = run_of(ledger, vec![job(1, "same"), job(2, "same")]).await;
    let second = run_of(ledger, vec![job(1, "same")]).await;
    (first, second)
}

/// One is paid for; the other says whose result it has.
pub async fn a_duplicate_shares_the_result(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let added = add(ledger, run, vec![job(1, "same"), job(2, "same"), job(3, "other")]).await;
    assert_eq!(added, Added { ready: 2, attached: 1, ..Added::default() });
    assert_eq!(add(ledger, run, vec![job(4, "same")]).await.attached, 1);
    let taken = take(ledger, 10).await;
    assert_eq!(seqs(&taken), [1, 3], "the attached never go to a line");
    assert_eq!(add(ledger, run, vec![job(5, "same")]).await.attached, 1, "the twin is under way");

    record(ledger, &taken[0], success("shared")).await;
    let rows = rows(ledger, run).await;
    for n in [1, 3, 4] {
        assert_eq!((rows[n].state, rows[n].reused), (JobState::Succeeded, true));
        assert_eq!(rows[n].result_of, Some(rows[0].job_id));
        assert_eq!(rows[n].output_value(), Some(json!("shared")));
        assert_eq!((rows[n].usage, rows[n].attempts), (Usage::default(), 0));
    }
    assert_eq!(rows[2].state, JobState::Dispatched);
}

/// And both runs finish.
pub async fn twins_of_other_runs_share_it_too(ledger: &Subject) {
    let (first, second) = three_twins(ledger).await;
    record(ledger, &take_one(ledger).await, success("shared")).await;
    assert_eq!(states(ledger, first).await, [JobState::Succeeded; 2]);
    assert_eq!(states(ledger, second).await, [JobState::Succeeded]);
    assert_eq!(run_state(ledger, first).await, RunState::Finished);
    assert_eq!(run_state(ledger, second).await, RunState::Finished);
    let counts = run_row(ledger, second).await.counts;
    assert_eq!((counts.reused, counts.usage), (1, Usage::default()));
}

/// A retry or a snooze is not its end.
pub async fn the_attached_stay_while_it_retries(ledger: &Subject) {
    let (first, second) = three_twins(ledger).await;
    for decision in [retry(Duration::ZERO), snooze(Duration::ZERO)] {
        record(ledger, &take_one(ledger).await, decision).await;
        assert_eq!(states(ledger, first).await, [JobState::Ready, JobState::Attached]);
        assert_eq!(states(ledger, second).await, [JobState::Attached]);
    }
}

async fn the_oldest_takes_its_place(ledger: &Subject, end: Decision, state: JobState) {
    let (first, second) = three_twins(ledger).await;
    record(ledger, &take_one(ledger).await, retry(Duration::ZERO)).await;
    record(ledger, &take_one(ledger).await, end).await;
    assert_eq!(states(ledger, first).await, [state, JobState::Ready]);
    assert_eq!(states(ledger, second).await, [JobState::Attached]);

    let heir = take_one(ledger).await;
    assert_eq!((heir.run_id, seq_of(&heir)), (first, 2));
    assert_eq!((heir.fence, heir.attempts), (1, 0), "the heir begins its own attempts");
    record(ledger, &heir, success("by the heir")).await;
    assert_eq!(rows(ledger, second).await[0].result_of, Some(heir.job_id));
    assert_eq!(states(ledger, first).await, [state, JobState::Succeeded]);
    assert_eq!(run_state(ledger, second).await, RunState::Finished);
}

/// It failed by bad luck; the others have their own attempts.
pub async fn the_oldest_takes_an_exhausted_twins_place(ledger: &Subject) {
    the_oldest_takes_its_place(ledger, die(DeadReason::Exhausted), JobState::Dead).await;
}

/// Whoever withdrew it did not withdraw the others.
pub async fn the_oldest_takes_a_cancelled_twins_place(ledger: &Subject) {
    the_oldest_takes_its_place(ledger, Decision::Cancel, JobState::Cancelled).await;
}

/// The same request would fail again, for the same money.
pub async fn a_hopeless_twin_takes_all_along(ledger: &Subject) {
    for reason in [DeadReason::Permanent, DeadReason::BadPayload] {
        let (first, second) = three_twins(ledger).await;
        record(ledger, &take_one(ledger).await, die(reason)).await;
        for run in [first, second] {
            for row in rows(ledger, run).await {
                assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(reason)));
                assert_eq!(row.error, Some(format!("dead of {reason}")));
            }
            assert_eq!(run_state(ledger, run).await, RunState::Finished);
        }
        assert!(take(ledger, 10).await.is_empty());
    }
}

/// From heir to heir, also into another run.
pub async fn attached_jobs_follow_a_second_heir(ledger: &Subject) {
    let (first, second) = three_twins(ledger).await;
    let third = run_of(ledger, vec![job(1, "same")]).await;
    for _ in 0..2 {
        record(ledger, &take_one(ledger).await, die(DeadReason::Exhausted)).await;
    }
    assert_eq!(run_state(ledger, first).await, RunState::Finished);
    let heir = take_one(ledger).await;
    assert_eq!(heir.run_id, second);
    assert_eq!(states(ledger, third).await, [JobState::Attached]);
    record(ledger, &heir, success("at last")).await;
    assert_eq!(rows(ledger, third).await[0].output_value(), Some(json!("at last")));
}

/// It would only die in it. A result comes to it all the same.
pub async fn who_is_too_late_takes_nobodys_place(ledger: &Subject) {
    let run_with_late = async |key: &str| {
        let late = NewJob { deadline: Some(Duration::ZERO), ..job(2, key) };
        run_of(ledger, vec![job(1, key), late, job(3, key)]).await
    };
    for (key, end) in [("a", die(DeadReason::Exhausted)), ("b", Decision::Cancel)] {
        let run = run_with_late(key).await;
        record(ledger, &take_one(ledger).await, end).await;
        assert_eq!(states(ledger, run).await[1..], [JobState::Dead, JobState::Ready]);
        assert_eq!(rows(ledger, run).await[1].dead_reason, Some(DeadReason::DeadlinePassed));
        let heir = take_one(ledger).await;
        assert_eq!(seq_of(&heir), 3);
        record(ledger, &heir, success("by the heir")).await;
        assert_eq!(run_state(ledger, run).await, RunState::Finished);
    }
    let run = run_with_late("c").await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(states(ledger, run).await, [JobState::Succeeded; 3]);
}
