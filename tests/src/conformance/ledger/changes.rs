//! Waking those who wait for work or for a run's end.

use std::time::Duration;

use fleetline_shared::domain::NewJob;
use fleetline_shared::ports::{News, Scope};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Subject;
use super::prelude::*;

/// Fails instead of hanging if nothing comes.
async fn woken(changes: &mut watch::Receiver<News>) {
    let limit = Duration::from_secs(30);
    timeout(limit, changes.changed()).await.expect("a change is announced").expect("the ledger is there");
}

/// Whoever looks after it wakes finds it.
pub async fn new_work_wakes(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let mut changes = ledger.changes();
    add(ledger, run, jobs("a", 1, 1)).await;
    woken(&mut changes).await;
    assert_eq!(take(ledger, 10).await.len(), 1);
}

/// A run may be done, or an heir may be ready.
pub async fn a_finish_wakes(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(ledger).await;
    let mut changes = ledger.changes();
    record(ledger, &envelope, success("done")).await;
    woken(&mut changes).await;
    assert!(run_row(ledger, run).await.finished_at_ms.is_some());
}

/// What is swept is ready.
pub async fn a_sweep_wakes(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 1)).await;
    take_one(ledger).await;
    let mut changes = ledger.changes();
    ledger.sweep(Scope::All, Duration::ZERO, 3).await.unwrap();
    woken(&mut changes).await;
    take_one(ledger).await;
}

/// Or the dispatcher would wake itself for ever.
pub async fn a_dispatch_does_not_wake(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let mut changes = ledger.changes();
    add(ledger, run, jobs("a", 1, 1)).await;
    woken(&mut changes).await;
    take_one(ledger).await;
    assert!(take(ledger, 10).await.is_empty());
    assert!(!changes.has_changed().unwrap());
}

/// A dispatch that kills an expired job may finish a run, or make an heir ready.
pub async fn an_expiry_wakes(ledger: &Subject) {
    run_of(ledger, vec![NewJob { deadline: Some(Duration::ZERO), ..job(1, "a") }]).await;
    let mut changes = ledger.changes();
    assert!(take(ledger, 10).await.is_empty());
    woken(&mut changes).await;
}
