//! Results that are used again.

use std::time::Duration;

use fleetline_shared::domain::{JobState, NewJob, RunState, Usage};
use fleetline_shared::ports::{Added, Seal};
use fleetline_shared::rules::dedup_key;

use super::Subject;
use super::prelude::*;

const REUSED: Added = Added { reused: 1, ready: 0, attached: 0, known: 0 };
const READY: Added = Added { ready: 1, reused: 0, attached: 0, known: 0 };

/// With provenance, and without usage of its own.
pub async fn a_fresh_result_is_reused_at_once(ledger: &Subject) {
    let first = run_of(ledger, vec![job(1, "same")]).await;
    record(ledger, &take_one(ledger).await, success("paid for")).await;

    let second = open(ledger, TENANT).await;
    assert_eq!(add(ledger, second, vec![job(1, "same")]).await, REUSED);
    assert!(take(ledger, 10).await.is_empty(), "there is nothing to pay for");
    check_counters(ledger).await;

    let maker = rows(ledger, first).await.remove(0);
    assert_eq!((maker.reused, maker.result_of), (false, None));
    let row = rows(ledger, second).await.remove(0);
    assert_eq!((row.state, row.reused), (JobState::Succeeded, true));
    assert_eq!(row.result_of, Some(maker.job_id));
    assert_eq!(row.output_value(), Some("paid for".into()));
    assert_eq!(row.analyser.as_deref(), Some("tester"));
    assert_eq!((row.usage, row.attempts), (Usage::default(), 0));

    ledger.seal_run(second, Seal::default()).await.unwrap();
    assert_eq!(run_state(ledger, second).await, RunState::Finished);
}

/// Nobody sees another tenant's results, and kinds never share.
pub async fn results_stay_within_tenant_and_kind(ledger: &Subject) {
    run_of(ledger, vec![job(1, "same")]).await;
    record(ledger, &take_one(ledger).await, success("ours")).await;

    let theirs = open(ledger, "globex").await;
    assert_eq!(add(ledger, theirs, vec![job(1, "same")]).await, READY);
    let ours = open(ledger, TENANT).await;
    let other_kind = NewJob { kind: "test.other".into(), ..job(1, "same") };
    assert_eq!(add(ledger, ours, vec![other_kind]).await, READY);
    // A live job of another tenant is no twin either.
    assert_eq!(add(ledger, theirs, vec![job(2, "theirs")]).await, READY);
    assert_eq!(add(ledger, ours, vec![job(2, "theirs")]).await, READY);
    check_counters(ledger).await;
}

/// The new result is the one that is reused from then on; the old job keeps its own.
pub async fn an_expired_result_is_paid_for_again(ledger: &Subject) {
    let expiring = NewJob { fresh_for: Some(Duration::ZERO), ..job(1, "same") };
    let first = run_of(ledger, vec![expiring]).await;
    record(ledger, &take_one(ledger).await, success("old")).await;

    let second = open(ledger, TENANT).await;
    assert_eq!(add(ledger, second, vec![job(1, "same")]).await, READY);
    record(ledger, &take_one(ledger).await, success("new")).await;
    assert_eq!(add(ledger, second, vec![job(2, "same")]).await, REUSED);

    let made = rows(ledger, second).await;
    assert_eq!(made[1].result_of, Some(made[0].job_id));
    assert_eq!(made[1].output_value(), Some("new".into()));
    assert_eq!(rows(ledger, first).await[0].output_value(), Some("old".into()));
    check_counters(ledger).await;
}

/// Not only for ever or not at all.
pub async fn a_result_is_fresh_for_its_time(ledger: &Subject) {
    let lasting = NewJob { fresh_for: Some(HOUR), dedup_key: dedup_key(KIND, ["hour"]), ..job(1, "same") };
    let run = run_of(ledger, vec![lasting.clone()]).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    let again = open(ledger, TENANT).await;
    assert_eq!(add(ledger, again, vec![lasting]).await, REUSED);
    assert_eq!(rows(ledger, again).await[0].result_of, Some(rows(ledger, run).await[0].job_id));
}
