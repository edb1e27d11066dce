//! Jobs that were handed over and never came back.

use std::time::{Duration, Instant};

use fleetline_shared::domain::{DeadReason, Decision, Envelope, JobState, NewJob, RunId, RunState, Usage};
use fleetline_shared::ports::{CancelJobs, Finished, Scope, Swept, Validity};
use serde_json::json;

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
    assert_eq!(sweep_all(ledger, 3).await, Swept { requeued: 2, crash_looped: 0, expired: 0 });
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

async fn finish_late(ledger: &Subject, envelope: &Envelope, decision: Decision) -> Finished {
    let answer = ledger.finish(vec![finish_of(envelope, decision)]).await.unwrap().remove(0);
    check_counters(ledger).await;
    answer
}

/// A call outlived the sweep, and nobody else has begun: its result is everybody's. No call begins
/// for a dispatch that was given up.
pub async fn a_late_success_is_not_paid_for_twice(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "alone"), job(2, "same"), job(3, "same")]).await;
    let taken = take(ledger, 2).await;
    assert_eq!(sweep_all(ledger, 3).await, Swept { requeued: 2, crash_looped: 0, expired: 0 });
    let asked = taken.iter().map(|envelope| (envelope.job_id, envelope.fence)).collect();
    assert_eq!(ledger.validity(asked, HOUR).await.unwrap(), [Validity::Stale; 2]);
    for envelope in &taken {
        assert_eq!(finish_late(ledger, envelope, success("late")).await, Finished::Recorded);
        assert_eq!(finish_late(ledger, envelope, success("again")).await, Finished::Stale);
    }
    assert!(take(ledger, 10).await.is_empty());
    for (n, row) in rows(ledger, run).await.into_iter().enumerate() {
        assert_eq!((row.state, row.output_value()), (JobState::Succeeded, Some(json!("late"))));
        let own = n < 2;
        assert_eq!((row.reused, row.attempts), (!own, u16::from(own)));
        assert_eq!(row.usage, if own { ONE_CALL } else { Usage::default() });
    }
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
    assert_eq!(sweep_all(ledger, 3).await, Swept::default());
}

/// What it says happened, whether the sweep was quicker or not.
pub async fn any_late_outcome_counts(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 5)).await;
    let taken = take(ledger, 5).await;
    sweep_all(ledger, 3).await;
    let late = [retry(HOUR), snooze(HOUR), die(DeadReason::Permanent), Decision::Cancel, Decision::Ignore];
    for (envelope, decision) in taken.iter().zip(late) {
        assert_eq!(finish_late(ledger, envelope, decision).await, Finished::Recorded);
    }
    let expected = [JobState::Ready, JobState::Ready, JobState::Dead, JobState::Cancelled, JobState::Ready];
    assert_eq!(states(ledger, run).await, expected);
    let rows = rows(ledger, run).await;
    assert_eq!(rows.iter().map(|row| row.attempts).collect::<Vec<_>>(), [1, 0, 1, 0, 0]);
    assert!(rows.iter().all(|row| row.usage == ONE_CALL));
    let next = take(ledger, 10).await;
    assert_eq!(seqs(&next), [5], "the others wait for an hour or have ended");
    record(ledger, &next[0], success("done")).await;
}

/// The first, and none of an older one.
pub async fn a_dispatch_has_one_outcome(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let first = take_one(ledger).await;
    record(ledger, &first, snooze(Duration::ZERO)).await;
    assert_eq!(sweep_all(ledger, 3).await, Swept::default());
    assert_eq!(finish_late(ledger, &first, success("twice")).await, Finished::Stale);
    let second = take_one(ledger).await;
    sweep_all(ledger, 3).await;
    assert_eq!(finish_late(ledger, &first, success("older")).await, Finished::Stale);
    assert_eq!(finish_late(ledger, &second, retry(Duration::ZERO)).await, Finished::Recorded);
    assert_eq!(finish_late(ledger, &second, success("twice")).await, Finished::Stale);
    assert_eq!(states(ledger, run).await, [JobState::Ready]);
    record(ledger, &take_one(ledger).await, success("done")).await;
}

/// Terminal states never change, not for a success either.
pub async fn what_has_ended_meanwhile_stays(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    let taken = take(ledger, 2).await;
    sweep_all(ledger, 3).await;
    ledger.cancel(TENANT, CancelJobs::Job(taken[0].job_id)).await.unwrap();
    let again = take_one(ledger).await;
    assert_eq!(sweep_all(ledger, 2).await, Swept { requeued: 0, crash_looped: 1, expired: 0 });
    for envelope in [&taken[0], &taken[1], &again] {
        assert_eq!(finish_late(ledger, envelope, success("late")).await, Finished::Stale);
    }
    assert_eq!(states(ledger, run).await, [JobState::Cancelled, JobState::Dead]);
}

/// A job that takes its process down again and again.
pub async fn losses_end_in_a_crash_loop(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 2)).await;
    for loss in 1..=3 {
        let taken = take(ledger, 2).await;
        if loss == 1 {
            record(ledger, &taken[1], success("innocent")).await;
        }
        let expected =
            Swept { requeued: u64::from(loss < 3), crash_looped: u64::from(loss == 3), expired: 0 };
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
    assert_eq!(sweep_all(ledger, 1).await, Swept { requeued: 0, crash_looped: 1, expired: 0 });
    assert_eq!(states(ledger, run).await, [JobState::Dead, JobState::Ready, JobState::Attached]);
    let heir = take_one(ledger).await;
    assert_eq!(seq_of(&heir), 2);
    assert_eq!(sweep_all(ledger, 2).await, Swept { requeued: 1, crash_looped: 0, expired: 0 });
}

/// Ready, attached and terminal jobs are where they should be.
pub async fn what_is_not_dispatched_is_left(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "a"), job(2, "b"), job(3, "b")]).await;
    record(ledger, &take(ledger, 1).await[0], success("done")).await;
    assert_eq!(sweep_all(ledger, 1).await, Swept::default());
    assert_eq!(states(ledger, run).await, [JobState::Succeeded, JobState::Ready, JobState::Attached]);
}

/// What waited on its line has all of the time for its call. What did not is only read.
pub async fn the_wait_on_the_line_is_not_the_calls(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 3)).await;
    let taken = take(ledger, 3).await;
    let age = async |which: usize| {
        let standing = ledger.standing(taken[which].job_id).await.unwrap().expect("it is there");
        standing.dispatched.expect("it is handed out")
    };
    while age(0).await.min(age(2).await) < Duration::from_millis(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = age(1).await;
    let asked = |which: usize| vec![(taken[which].job_id, taken[which].fence)];
    assert_eq!(ledger.validity(asked(1), HOUR).await.unwrap(), [Validity::Current]);
    assert!(age(1).await >= before, "it was handed out a moment ago");

    ledger.cancel(TENANT, CancelJobs::Job(taken[2].job_id)).await.unwrap();
    let from = Instant::now();
    let other = (taken[0].job_id, taken[0].fence + 1);
    let all = vec![asked(2)[0], asked(0)[0], other];
    let answers = ledger.validity(all, Duration::from_millis(10)).await.unwrap();
    assert_eq!(answers, [Validity::Withdrawn, Validity::Current, Validity::Stale]);
    for which in [0, 2] {
        let since = age(which).await;
        // A ledger counts in milliseconds.
        assert!(since <= from.elapsed() + Duration::from_millis(1), "{since:?}");
    }
    sweep_all(ledger, 3).await;
    assert_eq!(ledger.validity(asked(0), Duration::ZERO).await.unwrap(), [Validity::Stale]);
}

/// Its upstream may be closed for hours. Who waits for the same thing without that deadline goes on with it.
pub async fn a_deadline_passes_though_nobody_hands_the_job_out(ledger: &Subject) {
    let late = |seq, key: &str| NewJob { deadline: Some(Duration::ZERO), ..job(seq, key) };
    let in_time = NewJob { deadline: Some(HOUR), ..job(3, "b") };
    let run = run_of(ledger, vec![late(1, "a"), late(2, "same"), in_time, job(4, "same")]).await;
    assert_eq!(sweep_all(ledger, 3).await, Swept { expired: 2, ..Swept::default() });
    assert_eq!(states(ledger, run).await, [JobState::Dead, JobState::Dead, JobState::Ready, JobState::Ready]);
    let row = &rows(ledger, run).await[0];
    assert_eq!((row.dead_reason, row.attempts), (Some(DeadReason::DeadlinePassed), 0), "{row:?}");
    assert_eq!(sweep_all(ledger, 3).await, Swept::default());
}

/// In one sweep, and not one in each: who takes the place of one that was too late is in time.
pub async fn deadlines_of_twins_pass_together(ledger: &Subject) {
    let late = |seq| NewJob { deadline: Some(Duration::ZERO), ..job(seq, "same") };
    let run = run_of(ledger, vec![late(1), late(2), late(3), job(4, "same"), late(5), job(6, "same")]).await;
    assert_eq!(sweep_all(ledger, 3).await, Swept { expired: 4, ..Swept::default() });
    assert_eq!(states(ledger, run).await[3..], [JobState::Ready, JobState::Dead, JobState::Attached]);
    let rows = rows(ledger, run).await;
    for which in [0, 1, 2, 4] {
        let row = &rows[which];
        assert_eq!((row.dead_reason, row.attempts), (Some(DeadReason::DeadlinePassed), 0), "{row:?}");
        assert_eq!(row.error, rows[0].error);
    }
    assert_eq!(sweep_all(ledger, 3).await, Swept::default());
}

/// A deadline goes on while the message is on its line.
pub async fn a_deadline_passes_on_the_line_too(ledger: &Subject) {
    let taken = loop {
        let deadline = Some(Duration::from_millis(200));
        run_of(ledger, vec![NewJob { deadline, ..job(1, &RunId::new().to_string()) }]).await;
        // On a slow machine it has passed before.
        if let Some(taken) = take(ledger, 1).await.pop() {
            break taken;
        }
    };
    let asked = || vec![(taken.job_id, taken.fence)];
    while ledger.validity(asked(), HOUR).await.unwrap() == [Validity::Current] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ledger.validity(asked(), Duration::ZERO).await.unwrap(), [Validity::Expired]);
    record(ledger, &taken, die(DeadReason::DeadlinePassed)).await;
    assert_eq!(ledger.validity(asked(), HOUR).await.unwrap(), [Validity::Stale]);
}
