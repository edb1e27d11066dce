//! Jobs that are handed out with their submission.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, Estimate, JobState, LARGEST_ARGS, NewJob, NewRun, RunId};
use fleetline_shared::ports::{Finished, Offer, OpenedRun, Validity};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    KIND, TENANT, check_counters, finish_of, job, jobs, new_run, raw, rows, seqs, success, take,
};
use fleetline_tests::services::Database;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::task::JoinHandle;

fn room_for(jobs: usize) -> Offer {
    Offer { room: BTreeMap::from([(KIND.to_owned(), jobs)]), skip_upstreams: vec!["closed".into()] }
}

async fn submit(ledger: &Subject, run: &NewRun, jobs: Vec<NewJob>) -> OpenedRun {
    ledger.submit_run(run.clone(), jobs, Value::Null).await.unwrap()
}

/// What is there to be told now.
fn told(ledger: &Subject) -> Option<Vec<Envelope>> {
    ledger.offered().now_or_never().expect("it is known").map(Result::unwrap)
}

/// A submission that waits for the lock.
async fn held_up(database: &Database, ledger: &Subject) -> JoinHandle<OpenedRun> {
    let ledger = Arc::clone(ledger);
    let submitting = tokio::spawn(async move { submit(&ledger, &new_run(TENANT), jobs("a", 1, 1)).await });
    database.waiting(1).await;
    submitting
}

#[tokio::test]
async fn ready_jobs_go_out_as_far_as_there_is_room() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    ledger.offer(Some(room_for(3)));
    let of = |seq, upstream: &str| NewJob { upstream: Some(upstream.into()), ..job(seq, &format!("{seq}")) };
    let other_kind = NewJob { kind: "another".into(), ..job(4, "4") };
    let new = vec![job(1, "one"), of(2, "open"), of(3, "closed"), other_kind, job(5, "one"), job(6, "6")];
    let run = new_run(TENANT);
    submit(&ledger, &run, new).await;
    let went = told(&ledger).unwrap();
    // The twin had taken room before anybody knew that it is one.
    assert_eq!(seqs(&went), [1, 2]);
    let states: Vec<_> = rows(&ledger, run.id).await.iter().map(|row| row.state).collect();
    let (out, ready, attached) = (JobState::Dispatched, JobState::Ready, JobState::Attached);
    assert_eq!(states, [out, out, ready, ready, attached, ready]);
    let mut later = seqs(&take(&ledger, 10).await);
    later.sort_unstable();
    assert_eq!(later, [3, 6]);

    let dispatches = went.iter().map(|job| (job.job_id, job.fence)).collect();
    let hour = Duration::from_hours(1);
    assert_eq!(ledger.validity(dispatches, hour).await.unwrap(), [Validity::Current; 2]);
    let ends = went.iter().map(|job| finish_of(job, success("done"))).collect();
    assert_eq!(ledger.finish(ends).await.unwrap(), [Finished::Recorded, Finished::Recorded]);
    check_counters(&ledger).await;

    submit(&ledger, &new_run(TENANT), vec![job(1, "one")]).await;
    assert!(ledger.offered().now_or_never().is_none(), "it has its result");
    ledger.offer(None);
    submit(&ledger, &new_run(TENANT), jobs("later", 1, 1)).await;
    assert!(told(&ledger).is_none());
    assert_eq!(take(&ledger, 10).await.len(), 1);
}

/// Its messages are as those that are read from its rows.
#[tokio::test]
async fn a_message_says_the_same_whoever_hands_it_out() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    ledger.offer(Some(room_for(10)));
    let large = format!("\"{}\"", "x".repeat(LARGEST_ARGS));
    let estimate = Estimate { input_tokens: u64::MAX, output_tokens: 7 };
    let new = vec![
        NewJob { args: raw(&large), ..job(1, "large") },
        NewJob { estimate, upstream: Some("api".into()), max_attempts: 9, priority: -3, ..job(2, "odd") },
    ];
    submit(&ledger, &new_run("umlaut-ä"), new).await;
    let went = told(&ledger).unwrap();
    let read = ledger.messages(KIND, went.iter().map(|job| job.job_id).collect()).await.unwrap();
    let bodies = |envelopes: &[Envelope]| envelopes.iter().map(Envelope::encode).collect::<Vec<_>>();
    assert_eq!(bodies(&went), bodies(&read));
    assert!(went[0].args.is_none());
    let late = NewJob { deadline: Some(Duration::from_hours(2)), ..job(1, "late") };
    submit(&ledger, &new_run(TENANT), vec![late]).await;
    let deadline = told(&ledger).unwrap()[0].deadline().unwrap();
    assert_eq!(deadline, Duration::from_hours(2));
}

/// A dispatcher that ends waits for the submissions that took of its offer, also those that nobody waits for any more.
#[tokio::test]
async fn who_takes_of_an_offer_says_what_became_of_it() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    for is_left in [false, true] {
        let mut holder = database.hold_keys().await;
        ledger.offer(Some(room_for(1)));
        let submitting = held_up(&database, &ledger).await;
        ledger.offer(None);
        if is_left {
            submitting.abort();
        }
        assert!(ledger.offered().now_or_never().is_none(), "it is under way");
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        let went = ledger.offered().await.unwrap().unwrap();
        assert_eq!(seqs(&went), [1]);
        assert!(told(&ledger).is_none());
        let end = finish_of(&went[0], Decision::Cancel);
        ledger.finish(vec![end]).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_offer_has_no_room_for_what_is_under_way() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    let mut holder = database.hold_keys().await;
    ledger.offer(Some(room_for(2)));
    let first = held_up(&database, &ledger).await;
    ledger.offer(Some(room_for(2)));
    let second = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { submit(&ledger, &new_run(TENANT), jobs("b", 1, 3)).await })
    };
    // It takes its part as soon as it runs.
    tokio::task::yield_now().await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    let mut went = Vec::new();
    while let Some(Some(Ok(more))) = ledger.offered().now_or_never() {
        went.extend(more);
    }
    assert_eq!(went.len(), 2);
}

/// Whoever publishes them may be slower than those who submit.
#[tokio::test]
async fn what_waits_to_be_published_counts_against_a_new_offer() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    for n in 0..5 {
        ledger.offer(Some(room_for(2)));
        submit(&ledger, &new_run(TENANT), jobs(&format!("{n}"), 1, 1)).await;
    }
    assert_eq!(told(&ledger).unwrap().len(), 2, "all that there is, at once");
    assert_eq!(take(&ledger, 10).await.len(), 3);
    ledger.offer(Some(room_for(2)));
    submit(&ledger, &new_run(TENANT), jobs("later", 1, 3)).await;
    assert_eq!(told(&ledger).unwrap().len(), 2);
}

/// The commit of an earlier try may have handed some out, while its answer was lost.
#[tokio::test]
async fn what_a_lost_answer_handed_out_is_said_to_be_unknown() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(PostgresLedger::open(&database.options()).await.unwrap());
    for key in [None, Some("key")] {
        let name = key.unwrap_or("none");
        let run = NewRun { idempotency_key: key.map(Into::into), once: true, ..new_run(TENANT) };
        submit(&ledger, &run, jobs(name, 1, 2)).await;
        ledger.offer(Some(room_for(8)));
        assert!(!submit(&ledger, &run, jobs(name, 1, 2)).await.resumed);
        assert!(ledger.offered().await.unwrap().is_err());
        if key.is_some() {
            let again = NewRun { id: RunId::new(), ..run };
            assert!(submit(&ledger, &again, jobs(name, 1, 2)).await.resumed);
            assert!(
                ledger.offered().now_or_never().is_none(),
                "its first request has handed them out, or nobody"
            );
        }
        ledger.offer(None);
        take(&ledger, 10).await;
    }
}

/// It was refused before it began, so nobody need look for its messages.
#[tokio::test]
async fn a_submission_that_wrote_nothing_is_not_unknown() {
    let database = Database::new().await;
    let options =
        PostgresOptions { pool_size: 1, acquire_timeout: Duration::from_millis(50), ..database.options() };
    let ledger: Subject = Arc::new(PostgresLedger::open(&options).await.unwrap());
    let mut holder = database.hold_keys().await;
    ledger.offer(Some(room_for(8)));
    let submitting = held_up(&database, &ledger).await;
    let refused = ledger.submit_run(new_run(TENANT), jobs("b", 1, 1), Value::Null).await;
    assert!(refused.unwrap_err().to_string().contains("busy"));
    assert!(ledger.offered().now_or_never().is_none());
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    submitting.await.unwrap();
    assert_eq!(told(&ledger).unwrap().len(), 1);
}
