//! Messages in: accepted once, or refused with a reason; and jobs whose messages kill workers.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, Envelope, JobState, RunId, Usage, Weights};
use fleetline_shared::ports::{
    DispatchAsk, Finish, Finished, Holder, JobFilter, JobRow, Leases, Page, RunRow, Scope, lease_key,
};
use fleetline_shared::rabbitmq::Outgoing;
use fleetline_shared::rabbitmq::topology::CRASHED_QUEUE;
use fleetline_tests::conformance::ledger::prelude::done;
use fleetline_tests::services::Database;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::outside::{Outside, PREFETCH, log_job};

/// The runs there are, as soon as there are so many.
async fn runs(outside: &Outside, count: usize) -> Vec<RunRow> {
    let found = async {
        loop {
            let runs = outside.ledger.runs(Some("acme"), Page::first(100)).await.unwrap();
            if runs.len() >= count && runs.iter().all(|run| run.counts.jobs > 0) {
                return runs;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("the runs are there in time")
}

async fn jobs(outside: &Outside) -> Vec<JobRow> {
    outside.ledger.jobs(JobFilter::default(), Page { after: 0, limit: 100 }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_a_run_of_its_jobs() {
    let outside = Outside::new().await;
    outside.send(&json!([log_job("one"), log_job("three")]).to_string(), "m1").await;
    let runs = runs(&outside, 1).await;
    assert_eq!((runs[0].pipeline.as_str(), runs[0].counts.jobs), ("jobs", 2));
    assert!(jobs(&outside).await.iter().all(|job| job.kind == "log.analyze" && job.state == JobState::Ready));
    outside.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_twice_is_one_run() {
    let outside = Outside::new().await;
    for _ in 0..3 {
        outside.send(&log_job("one").to_string(), "same").await;
    }
    outside.send(&log_job("last").to_string(), "other").await;
    assert_eq!(runs(&outside, 2).await.len(), 2);
    // With other content it is a mistake of the sender's.
    outside.send(&log_job("else").to_string(), "same").await;
    let dead = outside.next_dead().await;
    assert!(dead.reason.unwrap().contains("idempotency key"));
    assert_eq!(jobs(&outside).await.len(), 2);
    outside.end().await;
}

/// Some clients send one where none is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_message_id_is_none() {
    let outside = Outside::new().await;
    outside.send(&log_job("one").to_string(), "").await;
    outside.send(&log_job("three").to_string(), "").await;
    assert_eq!(runs(&outside, 2).await.len(), 2);
    outside.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_message_is_a_dead_letter_and_disturbs_nobody() {
    let outside = Outside::new().await;
    let bad = [
        ("no JSON at all", "no JSON"),
        ("", "no JSON"),
        (r#"{"kind":"log.analyse","args":{}}"#, "there is no kind `log.analyse`"),
        (r#"{"kind":"log.analyze","args":{"message":1}}"#, "job 0"),
        (r#"[{"kind":"log.analyze"}]"#, "`args`: is missing"),
        ("[]", "1 to "),
    ];
    for (n, (body, _)) in bad.iter().enumerate() {
        outside.send(body, &format!("bad-{n}")).await;
        outside.send(&log_job(&"x".repeat(n + 1)).to_string(), &format!("good-{n}")).await;
    }
    let mut dead = Vec::new();
    for _ in &bad {
        dead.push(outside.next_dead().await);
    }
    for (body, reason) in bad {
        let letters: Vec<_> = dead.iter().filter(|letter| letter.body == body.as_bytes()).collect();
        assert_eq!(letters.len(), 1, "{body}: once in {dead:?}");
        assert!(letters[0].reason.as_ref().unwrap().contains(reason), "{:?}", letters[0]);
    }
    assert_eq!(runs(&outside, bad.len()).await.len(), bad.len());
    outside.end().await;
}

/// They would hold all of the intake's places if they were tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ledger_cannot_hold_is_a_dead_letter() {
    let database = Database::new().await;
    let outside = Outside::on(Arc::new(database.open().await)).await;
    for n in 0..PREFETCH {
        outside.send(&log_job("one").to_string(), &format!("nul \0 {n}")).await;
    }
    outside.send(&log_job("one").to_string(), "good").await;
    for _ in 0..PREFETCH {
        let reason = outside.next_dead().await.reason.unwrap();
        assert!(reason.contains("cannot hold"), "{reason}");
    }
    assert_eq!(runs(&outside, 1).await.len(), 1);
    outside.end().await;
}

/// Takes the job of a new run off the ledger, and leaves its message where the broker puts those that
/// came back too often, as if so many attempts had failed before. Answers the run.
async fn crashed(outside: &Outside, attempts: u16) -> RunId {
    let (run, message) = crashing(outside, attempts).await;
    found_by_the_recorder(outside, &message).await;
    run
}

/// The run, and the message of its job.
async fn crashing(outside: &Outside, attempts: u16) -> (RunId, Envelope) {
    outside.send(&log_job("poison").to_string(), "m1").await;
    let run = runs(outside, 1).await.remove(0).id;
    let ask = DispatchAsk {
        scope: Scope::All,
        kind: "log.analyze".into(),
        limit: 10,
        skip_upstreams: Vec::new(),
        weights: Weights::default(),
    };
    let mut taken = Vec::new();
    while taken.is_empty() {
        taken = outside.ledger.dispatch(ask.clone()).await.unwrap();
    }
    taken[0].attempts = attempts;
    (run, taken.remove(0))
}

async fn found_by_the_recorder(outside: &Outside, message: &Envelope) {
    let message = Outgoing::new("", CRASHED_QUEUE, "m1".into(), message.encode());
    outside.broker.publisher().publish(vec![message]).await.remove(0).expect("the broker takes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_message_kills_workers_is_dead() {
    let outside = Outside::new().await;
    let run = crashed(&outside, 4).await;
    let dead = async {
        while outside.ledger.run(run).await.unwrap().unwrap().counts.dead == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), dead).await.expect("it is recorded in time");
    assert_eq!(jobs(&outside).await[0].dead_reason, Some(DeadReason::CrashLoop));
    outside.end().await;
}

/// The bad one may have been another of the same workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_workers_died_gets_another_chance() {
    let outside = Outside::new().await;
    crashed(&outside, 0).await;
    let back = async {
        while jobs(&outside).await[0].state != JobState::Ready {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), back).await.expect("it is recorded in time");
    assert_eq!(jobs(&outside).await[0].attempts, 1);
    outside.end().await;
}

/// Connections broke again and again, and the worker is at the call all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_way_is_no_crash() {
    let outside = Outside::new().await;
    let (_, message) = crashing(&outside, 4).await;
    let Envelope { tenant, kind, dedup_key, job_id: job, fence, .. } = &message;
    let holder = Holder { job: *job, fence: *fence, token: 0, nonce: 1 };
    let key = lease_key(tenant, kind, dedup_key);
    outside.leases.acquire(&key, holder, Duration::from_mins(5)).await.unwrap();
    found_by_the_recorder(&outside, &message).await;
    // It looks each second.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(jobs(&outside).await[0].state, JobState::Dispatched);
    let usage = Usage::default();
    let success = Finish { job: *job, fence: *fence, decision: Decision::Succeed(done("paid")), usage };
    assert_eq!(outside.ledger.finish(vec![success]).await.unwrap(), [Finished::Recorded]);
    outside.leases.release(&key, holder).await.unwrap();
    assert_eq!(jobs(&outside).await[0].state, JobState::Succeeded);
    outside.end().await;
}

/// Given back, the message would be a dead letter before the ledger answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_is_recorded_when_the_ledger_is_back() {
    let (outside, _) = Outside::away(2).await;
    crashed(&outside, 0).await;
    let back = async {
        while jobs(&outside).await[0].state != JobState::Ready {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), back).await.expect("it is recorded in time");
    outside.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_waits_for_the_ledger_ends_with_its_process() {
    let (outside, mut calls) = Outside::away(usize::MAX).await;
    crashed(&outside, 0).await;
    let called = timeout(Duration::from_secs(30), calls.wait_for(|calls| *calls > 0)).await;
    called.expect("in time").expect("the recorder is there");
    outside.end().await;
}
