//! Terminal states never change, whatever is tried.

use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, Envelope, JobState, RunId};
use fleetline_shared::ports::{Finish, Finished, Scope};

use super::Subject;
use super::prelude::*;

const REASONS: [DeadReason; 5] = [
    DeadReason::Exhausted,
    DeadReason::Permanent,
    DeadReason::BadPayload,
    DeadReason::DeadlinePassed,
    DeadReason::CrashLoop,
];

fn every_decision() -> Vec<Decision> {
    let mut all = vec![
        success("another"),
        retry(Duration::ZERO),
        snooze(Duration::ZERO),
        Decision::Cancel,
        Decision::Ignore,
    ];
    all.extend(REASONS.map(die));
    all
}

async fn assert_is_final(ledger: &Subject, run: RunId, last: &Envelope) {
    let shown = |rows| format!("{rows:?}");
    let before = shown(rows(ledger, run).await);
    let run_before = format!("{:?}", run_row(ledger, run).await);
    for decision in every_decision() {
        for fence in 0..=last.fence + 1 {
            let finish = Finish { fence, ..finish_of(last, decision.clone()) };
            assert_eq!(ledger.finish(vec![finish]).await.unwrap(), [Finished::Stale]);
        }
    }
    ledger.sweep(Scope::All, Duration::ZERO, 1).await.unwrap();
    assert!(take(ledger, 10).await.is_empty());
    assert_eq!(shown(rows(ledger, run).await), before);
    assert_eq!(format!("{:?}", run_row(ledger, run).await), run_before);
    check_counters(ledger).await;
}

async fn ended_by(ledger: &Subject, key: &str, decision: Decision) -> (RunId, Envelope) {
    let run = run_of(ledger, jobs(key, 1, 1)).await;
    record(ledger, &take_one(ledger).await, retry(Duration::ZERO)).await;
    let last = take_one(ledger).await;
    record(ledger, &last, decision).await;
    (run, last)
}

/// Not even by another success.
pub async fn success_never_changes(ledger: &Subject) {
    let (run, last) = ended_by(ledger, "a", success("done")).await;
    assert_eq!(states(ledger, run).await, [JobState::Succeeded]);
    assert_is_final(ledger, run, &last).await;
}

/// Of whatever reason.
pub async fn death_never_changes(ledger: &Subject) {
    for reason in REASONS {
        let (run, last) = ended_by(ledger, reason.as_str(), die(reason)).await;
        let row = rows(ledger, run).await.remove(0);
        assert_eq!((row.state, row.dead_reason), (JobState::Dead, Some(reason)));
        assert_is_final(ledger, run, &last).await;
    }
}

/// What is withdrawn stays withdrawn.
pub async fn cancellation_never_changes(ledger: &Subject) {
    let (run, last) = ended_by(ledger, "a", Decision::Cancel).await;
    assert_eq!(states(ledger, run).await, [JobState::Cancelled]);
    assert_is_final(ledger, run, &last).await;
}

/// Neither by its twin nor by its own name.
pub async fn a_reused_result_never_changes(ledger: &Subject) {
    let run = run_of(ledger, vec![job(1, "same"), job(2, "same")]).await;
    let twin = take_one(ledger).await;
    record(ledger, &twin, success("shared")).await;
    let attached = Envelope { job_id: rows(ledger, run).await[1].job_id, ..twin.clone() };
    assert_is_final(ledger, run, &twin).await;
    assert_is_final(ledger, run, &attached).await;
}
