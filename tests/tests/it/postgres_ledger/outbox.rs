//! Events and API keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::DeadReason;
use fleetline_shared::ports::{Event, KeyLedger, NewApiKey, OutboxLedger, Role, Seal, SubmitLedger};
use fleetline_shared::postgres::PostgresLedger;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    HOUR, TENANT, die, finish_of, job, jobs, new_run, record, rows, run_of, run_row, success, take, take_one,
};
use serde_json::json;
use uuid::Uuid;

use fleetline_tests::services::Database;

async fn ledger_and_subject(database: &Database) -> (PostgresLedger, Subject) {
    let ledger = database.open().await;
    (ledger.clone(), Arc::new(ledger))
}

#[tokio::test]
async fn ends_of_runs_and_deaths_are_told() {
    let database = Database::new().await;
    let (ledger, subject) = ledger_and_subject(&database).await;
    let run = run_of(&subject, vec![job(1, "a"), job(2, "same"), job(3, "same")]).await;
    let taken = take(&subject, 3).await;
    record(&subject, &taken[0], success("done")).await;
    assert!(ledger.take_events(10, HOUR).await.unwrap().is_empty());
    record(&subject, &taken[1], die(DeadReason::Permanent)).await;

    let events = ledger.take_events(10, HOUR).await.unwrap();
    let rows = rows(&subject, run).await;
    let counts = run_row(&subject, run).await.counts;
    assert_eq!(
        events.iter().map(|event| event.topic.as_str()).collect::<Vec<_>>(),
        ["job.dead", "job.dead", "run.finished"]
    );
    for (event, row) in events.iter().zip([&rows[2], &rows[1]]) {
        assert_eq!(event.tenant, TENANT);
        assert_eq!(event.body["run_id"], json!(run));
        assert_eq!(event.body["kind"], json!(row.kind));
        assert_eq!(event.body["reason"], json!("permanent"));
        assert_eq!(event.body["error"], json!("dead of permanent"));
    }
    let dead: BTreeSet<String> = events[..2].iter().map(|event| event.body["job_id"].to_string()).collect();
    assert_eq!(dead, rows[1..].iter().map(|row| json!(row.job_id).to_string()).collect());
    let finished = json!({"run_id": run, "pipeline": "plan", "input": "input.txt", "counts": counts});
    assert_eq!(events[2].body, finished);
}

/// A run of no jobs too, at its seal; sealing again tells nothing.
#[tokio::test]
async fn a_run_is_told_once() {
    let database = Database::new().await;
    let ledger = database.open().await;
    let run = ledger.open_run(new_run(TENANT)).await.unwrap().id;
    for _ in 0..2 {
        ledger.seal_run(run, Seal::default()).await.unwrap();
    }
    assert_eq!(ledger.take_events(10, HOUR).await.unwrap().len(), 1);
}

fn ids(events: &[Event]) -> BTreeSet<Uuid> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_publishers_share_the_outbox() {
    let database = Database::new().await;
    let (ledger, subject) = ledger_and_subject(&database).await;
    run_of(&subject, jobs("a", 1, 100)).await;
    let taken = take(&subject, 100).await;
    let group = taken.iter().map(|envelope| finish_of(envelope, die(DeadReason::Exhausted))).collect();
    subject.finish(group).await.unwrap();

    let other = database.open().await;
    let (first, second) = tokio::join!(ledger.take_events(60, HOUR), other.take_events(60, HOUR));
    let (first, second) = (first.unwrap(), second.unwrap());
    let rest = other.take_events(1000, HOUR).await.unwrap();
    assert_eq!(first.len() + second.len() + rest.len(), 101);
    let all: BTreeSet<Uuid> = [&first, &second, &rest].into_iter().flat_map(|events| ids(events)).collect();
    assert_eq!(all.len(), 101, "nothing is given twice");
    assert!(ledger.take_events(10, HOUR).await.unwrap().is_empty(), "all are claimed");
}

#[tokio::test]
async fn what_was_not_published_comes_again() {
    let database = Database::new().await;
    let (ledger, subject) = ledger_and_subject(&database).await;
    run_of(&subject, jobs("a", 1, 1)).await;
    record(&subject, &take_one(&subject).await, die(DeadReason::Exhausted)).await;
    let lost = ledger.take_events(10, Duration::ZERO).await.unwrap();
    let again = ledger.take_events(10, HOUR).await.unwrap();
    assert_eq!(lost, again);
    ledger.events_published(vec![again[0].id]).await.unwrap();
    ledger.events_published(vec![again[1].id, Uuid::now_v7()]).await.unwrap();
    assert!(ledger.take_events(10, HOUR).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_are_found_until_they_are_revoked() {
    let database = Database::new().await;
    let ledger = database.open().await;
    let key = |n: u8, role| NewApiKey {
        id: Uuid::now_v7(),
        hash: [n; 32],
        tenant: format!("tenant {n}"),
        role,
        label: "tests".into(),
    };
    let (first, second) = (key(1, Role::Submit), key(2, Role::Admin));
    ledger.add_key(first.clone()).await.unwrap();
    ledger.add_key(second.clone()).await.unwrap();
    ledger.add_key(NewApiKey { id: Uuid::now_v7(), ..first.clone() }).await.expect_err("the same hash twice");

    let found = ledger.find_key([1; 32]).await.unwrap().expect("it is there");
    assert_eq!((found.id, found.role, found.tenant.as_str()), (first.id, Role::Submit, "tenant 1"));
    assert!(ledger.find_key([3; 32]).await.unwrap().is_none());
    assert!(ledger.revoke_key(first.id).await.unwrap());
    assert!(!ledger.revoke_key(first.id).await.unwrap());
    assert!(!ledger.revoke_key(Uuid::now_v7()).await.unwrap());
    assert!(ledger.find_key([1; 32]).await.unwrap().is_none());
    let all = ledger.keys().await.unwrap();
    assert_eq!(all.iter().map(|key| key.id).collect::<Vec<_>>(), [first.id, second.id]);
    assert!(all[0].revoked_at_ms.is_some() && all[1].revoked_at_ms.is_none());
}
