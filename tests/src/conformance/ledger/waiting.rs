//! Jobs that are not due yet.

use std::time::Duration;

use fleetline_shared::domain::{Envelope, NewJob};
use fleetline_shared::ports::Scope;

use super::Subject;
use super::prelude::*;

async fn next_due(ledger: &Subject) -> Option<Duration> {
    ledger.next_due(Scope::All).await.unwrap()
}

/// The next dispatch that gives something, as a dispatcher finds it.
pub(super) async fn take_when_due(ledger: &Subject) -> Vec<Envelope> {
    loop {
        // Asked before the dispatch: what becomes due in between is not overlooked.
        let due = next_due(ledger).await;
        let taken = take(ledger, 10).await;
        if !taken.is_empty() {
            return taken;
        }
        tokio::time::sleep(due.expect("a job waits")).await;
    }
}

/// Neither a retry nor a snooze, before its time.
pub async fn a_job_that_waits_is_not_given(ledger: &Subject) {
    for decision in [retry(HOUR), snooze(HOUR)] {
        let run = run_of(ledger, jobs(&format!("{decision:?}"), 1, 1)).await;
        record(ledger, &take_one(ledger).await, decision).await;
        assert!(take(ledger, 10).await.is_empty());
        assert!(ledger.dispatch(ask(Scope::Run(run), 10)).await.unwrap().is_empty());
        let wait = next_due(ledger).await.unwrap();
        assert!(wait <= HOUR && wait > HOUR / 2, "{wait:?}");
    }
}

/// And then the job is given.
pub async fn a_short_wait_ends(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, retry(Duration::from_millis(30))).await;
    let taken = take_when_due(ledger).await;
    assert_eq!((taken[0].fence, taken[0].attempts), (2, 1));
    assert_eq!(next_due(ledger).await, None);
}

/// Of all kinds, upstreams, runs and priorities.
pub async fn the_soonest_is_next(ledger: &Subject) {
    let mixed = [("", 0, 9), ("b", 0, 7), ("a", -5, 3), ("a", 5, 4), ("", 8, 5)];
    for (seq, (upstream, priority, hours)) in (1..).zip(mixed) {
        let upstream = (!upstream.is_empty()).then(|| upstream.to_owned());
        run_of(ledger, vec![NewJob { upstream, priority, ..job(seq, &format!("a-{seq}")) }]).await;
        record(ledger, &take_one(ledger).await, snooze(HOUR * hours)).await;
    }
    let wait = next_due(ledger).await.unwrap();
    assert!(wait <= HOUR * 3 && wait > HOUR * 2, "{wait:?}");
}

/// Ready jobs are not waited for, nor jobs under way.
pub async fn nothing_waits_nothing_is_due(ledger: &Subject) {
    assert_eq!(next_due(ledger).await, None);
    run_of(ledger, jobs("a", 1, 2)).await;
    assert_eq!(next_due(ledger).await, None, "they are due now");
    take(ledger, 1).await;
    assert_eq!(next_due(ledger).await, None);
}
