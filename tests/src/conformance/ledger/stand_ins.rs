//! What jobs get in place of a fresh result of their own: old results, and lesser ones.

use std::time::Duration;

use fleetline_shared::domain::{Decision, Done, ErasedDone, JobState, NewJob};
use fleetline_shared::ports::{Added, CancelJobs};

use super::Subject;
use super::prelude::*;

const READY: Added = Added { ready: 1, reused: 0, attached: 0, known: 0 };
const ATTACHED: Added = Added { ready: 0, reused: 0, attached: 1, known: 0 };
const WHY: &str = "the upstream's breaker is open";

fn reuse() -> Decision {
    Decision::Reuse { why: WHY.into(), otherwise: Box::new(snooze(Duration::ZERO)) }
}

fn stand_in(output: &str) -> Decision {
    let lesser: ErasedDone = Done { analyser: "offline".into(), stand_in: Some(WHY.into()), ..done(output) };
    Decision::Succeed(lesser)
}

/// A job whose result is fresh no more at once.
fn expiring(seq: u64) -> NewJob {
    NewJob { fresh_for: Some(Duration::ZERO), ..job(seq, "same") }
}

/// With provenance and age, for the job and for those that wait for it, at no attempt.
pub async fn an_old_result_is_given_where_one_will_do(ledger: &Subject) {
    let first = run_of(ledger, vec![expiring(1)]).await;
    record(ledger, &take_one(ledger).await, success("old")).await;
    let maker = rows(ledger, first).await.remove(0).job_id;

    let second = open(ledger, TENANT).await;
    assert_eq!(add(ledger, second, vec![expiring(1)]).await, READY);
    assert_eq!(add(ledger, second, vec![expiring(2)]).await, ATTACHED);
    record(ledger, &take_one(ledger).await, reuse()).await;
    for row in rows(ledger, second).await {
        assert_eq!((row.state, row.reused, row.result_of), (JobState::Succeeded, true, Some(maker)));
        assert_eq!(row.output_value(), Some("old".into()));
        assert_eq!(row.attempts, 0);
        let said = row.error.expect("it is recorded as such");
        assert!(said.starts_with(WHY) && said.contains("last result") && said.ends_with(" s old"), "{said}");
    }
    check_counters(ledger).await;

    // It is no fresher for that.
    assert_eq!(add(ledger, second, vec![expiring(3)]).await, READY);
    record(ledger, &take_one(ledger).await, success("new")).await;
    assert_eq!(rows(ledger, second).await[2].output_value(), Some("new".into()));
}

/// The key's own, not another's.
pub async fn without_an_old_result_the_other_decision_stands(ledger: &Subject) {
    run_of(ledger, vec![job(1, "another")]).await;
    record(ledger, &take_one(ledger).await, success("another's")).await;
    let run = run_of(ledger, vec![job(1, "same")]).await;
    record(ledger, &take_one(ledger).await, reuse()).await;
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.state, row.attempts, row.output_value()), (JobState::Ready, 0, None));
    record(ledger, &take_one(ledger).await, success("own")).await;
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.output_value(), row.error), (Some("own".into()), None));
    check_counters(ledger).await;
}

/// Who waits for it gets it too, who comes later does not, and the key's last result stays.
pub async fn a_stand_in_is_given_once_and_never_reused(ledger: &Subject) {
    let first = run_of(ledger, vec![expiring(1)]).await;
    record(ledger, &take_one(ledger).await, success("old")).await;
    let maker = rows(ledger, first).await.remove(0).job_id;

    let second = open(ledger, TENANT).await;
    // Without a limit to its freshness.
    assert_eq!(add(ledger, second, vec![job(1, "same")]).await, READY);
    assert_eq!(add(ledger, second, vec![job(2, "same")]).await, ATTACHED);
    record(ledger, &take_one(ledger).await, stand_in("lesser")).await;
    let lesser = rows(ledger, second).await;
    for row in &lesser {
        assert_eq!((row.state, row.output_value()), (JobState::Succeeded, Some("lesser".into())));
        assert_eq!(row.analyser.as_deref(), Some("offline"));
        assert_eq!(row.error.as_deref(), Some(WHY));
    }
    assert_eq!((lesser[0].attempts, lesser[0].result_of), (1, None));
    assert_eq!(lesser[1].result_of, Some(lesser[0].job_id));

    assert_eq!(add(ledger, second, vec![job(3, "same")]).await, READY, "it is not reused");
    record(ledger, &take_one(ledger).await, reuse()).await;
    let row = rows(ledger, second).await.remove(2);
    assert_eq!(
        (row.output_value(), row.result_of),
        (Some("old".into()), Some(maker)),
        "it is not the last result"
    );
    check_counters(ledger).await;
}

/// Nobody wants it any more, and nothing was paid for.
pub async fn a_cancelled_job_takes_no_old_result(ledger: &Subject) {
    run_of(ledger, vec![expiring(1)]).await;
    record(ledger, &take_one(ledger).await, success("old")).await;
    let run = run_of(ledger, vec![expiring(1)]).await;
    let envelope = take_one(ledger).await;
    ledger.cancel(TENANT, CancelJobs::Run(run)).await.unwrap();
    record(ledger, &envelope, reuse()).await;
    assert_eq!(rows(ledger, run).await[0].state, JobState::Cancelled);
    check_counters(ledger).await;
}
