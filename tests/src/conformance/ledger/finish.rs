//! Recording outcomes.

use std::time::Duration;

use fleetline_shared::domain::{
    DeadReason, Decision, Envelope, JobId, JobState, LARGEST_ARGS, NewJob, Usage,
};
use fleetline_shared::ports::{
    Finish,
    Finished::{self, Recorded, Stale},
    Validity,
};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::Subject;
use super::prelude::*;

/// Whatever it reports: a newer dispatch owns the job.
pub async fn an_older_fence_writes_nothing(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let old = take_one(ledger).await;
    record(ledger, &old, snooze(Duration::ZERO)).await;
    let stale = |decision| finish_of(&old, decision);
    let nothing = vec![Finished::Stale];

    let before = rows(ledger, run).await;
    assert_eq!(ledger.finish(vec![stale(success("late"))]).await.unwrap(), nothing, "it went back");
    let new = take_one(ledger).await;
    assert!(new.fence > old.fence);
    for decision in [success("late"), retry(HOUR), snooze(HOUR), die(DeadReason::Permanent), Decision::Cancel]
    {
        assert_eq!(ledger.finish(vec![stale(decision)]).await.unwrap(), nothing);
        assert_eq!(states(ledger, run).await, [JobState::Dispatched]);
    }
    let after = rows(ledger, run).await;
    assert_eq!((&after[0].usage, after[0].attempts), (&before[0].usage, before[0].attempts));
    record(ledger, &new, success("in time")).await;
    assert_eq!(rows(ledger, run).await[0].output_value(), Some(json!("in time")));
}

/// Each finish has its own, and one that is stale spoils no other.
pub async fn answers_come_in_order(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let taken = take(ledger, 3).await;
    let unknown = Finish { job: JobId::new(), ..finish_of(&taken[0], Decision::Cancel) };
    let wrong_fence = Finish { fence: 99, ..finish_of(&taken[1], success("wrong")) };
    let batch = vec![
        unknown,
        finish_of(&taken[2], success("three")),
        wrong_fence,
        finish_of(&taken[0], die(DeadReason::Permanent)),
        finish_of(&taken[1], success("two")),
    ];
    let answers = ledger.finish(batch).await.unwrap();
    assert_eq!(answers, [Stale, Recorded, Stale, Recorded, Recorded]);
    assert_eq!(states(ledger, run).await, [JobState::Dead, JobState::Succeeded, JobState::Succeeded]);
    assert!(ledger.finish(Vec::new()).await.unwrap().is_empty());
}

/// A message may be delivered twice.
pub async fn a_job_finishes_once_in_a_batch(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(ledger).await;
    let twice = vec![finish_of(&envelope, success("one")), finish_of(&envelope, success("two"))];
    assert_eq!(ledger.finish(twice).await.unwrap(), [Finished::Recorded, Finished::Stale]);
    check_counters(ledger).await;
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.output_value(), row.usage), (Some(json!("one")), ONE_CALL));
}

/// As they were given, facts in their order.
pub async fn success_stores_result_and_facts(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let taken = take(ledger, 3).await;
    let mut full = done("");
    full.output = raw(r#"{"title":"ü \" 🚂","n":1.5,"list":[null,true]}"#);
    full.facts = (0..20).map(|n| json!({"fact": n})).collect();
    let facts = full.facts.clone();
    record(ledger, &taken[0], Decision::Succeed(full)).await;
    let mut bare = done("bare");
    bare.analyser = String::new();
    bare.model = None;
    record(ledger, &taken[1], Decision::Succeed(bare)).await;
    let mut odd = done("");
    let text = format!(
        r#"{{"far":1e999,"long":0.12345678901234567890,"deep":{}1{}}}"#,
        "[".repeat(300),
        "]".repeat(300)
    );
    odd.output = raw(&text);
    record(ledger, &taken[2], Decision::Succeed(odd)).await;

    let rows = rows(ledger, run).await;
    assert_eq!(rows[2].output.as_ref().expect("an output").get(), text);
    assert_eq!(rows[2].output_value(), None, "no value holds it");
    assert_eq!(rows[0].output_value(), Some(json!({"title": "ü \" 🚂", "n": 1.5, "list": [null, true]})));
    assert_eq!(rows[0].facts, facts);
    assert_eq!((rows[0].analyser.as_deref(), rows[0].model.as_deref()), (Some("tester"), Some("m1")));
    assert_eq!((rows[0].reused, rows[0].result_of), (false, None));
    assert_eq!((rows[0].attempts, rows[0].usage), (1, ONE_CALL));
    assert_eq!((rows[1].output_value(), rows[1].model.as_deref()), (Some(json!("bare")), None));
    assert!(rows[1].facts.is_empty());
}

/// Each decision of each attempt adds to the job and to its run.
pub async fn usage_is_counted_whatever_came_of_it(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let again = [retry(Duration::ZERO), snooze(Duration::ZERO), retry(Duration::ZERO)];
    for decision in again {
        for envelope in take(ledger, 3).await {
            record(ledger, &envelope, decision.clone()).await;
        }
    }
    let last = [success("done"), die(DeadReason::Exhausted), Decision::Cancel];
    for (envelope, decision) in take(ledger, 3).await.iter().zip(last) {
        record(ledger, envelope, decision).await;
    }
    for row in rows(ledger, run).await {
        assert_eq!(row.usage, Usage { calls: 4, input_tokens: 40, output_tokens: 20 });
    }
    let counts = run_row(ledger, run).await.counts;
    assert_eq!(counts.usage, Usage { calls: 12, input_tokens: 120, output_tokens: 60 });
    assert_eq!(counts.retries, 6);
}

/// And the row says why the job went back.
pub async fn attempts_count_failures_only(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let steps = [(snooze(Duration::ZERO), 0, "quota"), (retry(Duration::ZERO), 1, "it broke")];
    for (decision, attempts, error) in steps {
        record(ledger, &take_one(ledger).await, decision).await;
        let row = rows(ledger, run).await.remove(0);
        assert_eq!((row.state, row.attempts), (JobState::Ready, attempts));
        assert_eq!(row.error.as_deref(), Some(error));
    }
    record(ledger, &take_one(ledger).await, die(DeadReason::Exhausted)).await;
    let row = rows(ledger, run).await.remove(0);
    assert_eq!((row.attempts, row.dead_reason), (2, Some(DeadReason::Exhausted)));
    assert_eq!(row.error.as_deref(), Some("dead of exhausted"));
}

/// It is for those who lost their lease.
pub async fn ignore_leaves_the_job_alone(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(ledger).await;
    record(ledger, &envelope, Decision::Ignore).await;
    assert_eq!(states(ledger, run).await, [JobState::Dispatched]);
    record(ledger, &envelope, success("done")).await;
}

/// For messages that could not carry them: a dispatch does not read them, for it may be of hundreds.
pub async fn a_jobs_args_can_be_read(ledger: &Subject) {
    let large = to_raw_value(&"x".repeat(LARGEST_ARGS)).expect("JSON");
    run_of(ledger, vec![NewJob { args: large.clone(), ..job(1, "large") }]).await;
    let envelope = take_one(ledger).await;
    assert!(envelope.args.is_none());
    let args = ledger.args(envelope.job_id).await.unwrap().expect("the job is there");
    assert_eq!(args.get(), large.get());
    run_of(ledger, jobs("a", 1, 2)).await;
    for envelope in take(ledger, 2).await {
        let args = ledger.args(envelope.job_id).await.unwrap().expect("the job is there");
        assert_eq!(args.get(), args_of(&envelope).get());
    }
    assert!(ledger.args(JobId::new()).await.unwrap().is_none());
}

/// In the order of the question.
pub async fn only_the_last_dispatch_is_current(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 3)).await;
    let taken = take(ledger, 3).await;
    let key = |envelope: &Envelope| (envelope.job_id, envelope.fence);
    let current = |asked: Vec<_>| async move { ledger.validity(asked, HOUR).await.unwrap() };

    assert_eq!(current(taken.iter().map(key).collect()).await, [Validity::Current; 3]);
    record(ledger, &taken[0], success("done")).await;
    record(ledger, &taken[1], snooze(Duration::ZERO)).await;
    let asked = vec![key(&taken[2]), key(&taken[1]), key(&taken[0]), (JobId::new(), 1)];
    assert_eq!(current(asked).await, [Validity::Current, Validity::Stale, Validity::Stale, Validity::Stale]);
    let new = take_one(ledger).await;
    assert_eq!(current(vec![key(&taken[1]), key(&new)]).await, [Validity::Stale, Validity::Current]);
    assert!(current(Vec::new()).await.is_empty());
}
