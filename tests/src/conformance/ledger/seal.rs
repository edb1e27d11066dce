//! The end of the input.

use fleetline_shared::domain::{NewJob, RunState};
use fleetline_shared::ports::Seal;
use serde_json::{Value, json};

use super::Subject;
use super::prelude::*;

/// Both, in either order.
pub async fn a_run_finishes_when_sealed_and_done(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Open, "more may come");
    add(ledger, run, jobs("a", 2, 2)).await;
    ledger.seal_run(run, Seal::default()).await.unwrap();
    assert_eq!(run_state(ledger, run).await, RunState::Running);
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);

    let other = open(ledger, TENANT).await;
    add(ledger, other, jobs("b", 1, 1)).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    ledger.seal_run(other, Seal::default()).await.unwrap();
    assert_eq!(run_state(ledger, other).await, RunState::Finished);
}

/// There is nothing to wait for.
pub async fn an_empty_run_finishes_at_its_seal(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let seal = Seal { occurrences: vec![(1, 5)], notes: json!({"lines": 0}) };
    ledger.seal_run(run, seal).await.unwrap();
    let row = run_row(ledger, run).await;
    assert_eq!((row.state, row.notes), (RunState::Finished, json!({"lines": 0})));
    assert_eq!(row.counts.occurrences, 0, "a number that is not there counts nothing");
    check_counters(ledger).await;
}

/// A resumed run reads its input anew and counts from the start.
pub async fn occurrences_are_set_not_added(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let many = |seq, occurrences| NewJob { occurrences, ..job(seq, &format!("a-{seq}")) };
    add(ledger, run, vec![many(1, 2), many(2, 3), many(3, 4)]).await;
    check_counters(ledger).await;
    for _ in 0..2 {
        let seal = Seal { occurrences: vec![(1, 10), (3, 30)], notes: Value::Null };
        ledger.seal_run(run, seal).await.unwrap();
        let counted: Vec<u64> = rows(ledger, run).await.iter().map(|row| row.occurrences).collect();
        assert_eq!(counted, [10, 3, 30]);
        assert_eq!(run_row(ledger, run).await.counts.occurrences, 43);
        check_counters(ledger).await;
    }
}

/// The state goes forward only.
pub async fn sealing_again_changes_notes_only(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    let finished = run_row(ledger, run).await;
    ledger.seal_run(run, Seal { notes: json!("again"), ..Seal::default() }).await.unwrap();
    let row = run_row(ledger, run).await;
    assert_eq!((row.state, row.finished_at_ms), (RunState::Finished, finished.finished_at_ms));
    assert_eq!(row.notes, json!("again"));
}
