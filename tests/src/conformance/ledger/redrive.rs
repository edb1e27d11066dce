//! Dead jobs sent again.

use fleetline_shared::domain::{DeadReason, Estimate, JobId, JobState, NewJob, NewRun, RunId, RunState};
use fleetline_shared::ports::{DeadJobs, JobRow};

use super::Subject;
use super::prelude::*;

/// A sealed run whose jobs are all dead.
async fn dead_run(ledger: &Subject, jobs: Vec<NewJob>) -> RunId {
    let run = run_of(ledger, jobs).await;
    for envelope in take(ledger, 100).await {
        record(ledger, &envelope, die(DeadReason::Permanent)).await;
    }
    run
}

async fn redrive(ledger: &Subject, which: DeadJobs) -> (u64, RunId) {
    let into = new_run(TENANT);
    let id = into.id;
    let count = ledger.redrive(which, into).await.unwrap();
    check_counters(ledger).await;
    (count, id)
}

/// Which is sealed, and finishes as any other; the dead stay dead.
pub async fn dead_jobs_go_again_in_a_new_run(ledger: &Subject) {
    // A redrive never continues another run, even if it is told the same key.
    let keyed = NewRun { idempotency_key: Some("k".into()), ..new_run(TENANT) };
    let open = ledger.open_run(keyed.clone()).await.unwrap().id;
    add(ledger, open, vec![job(0, "elsewhere"), job(1, "elsewhere")]).await;
    let old = dead_run(ledger, jobs("a", 1, 2)).await;
    let before = rows(ledger, old).await;

    let into = NewRun { id: RunId::new(), ..keyed };
    let new = into.id;
    assert_eq!(ledger.redrive(DeadJobs::Run(old), into).await.unwrap(), 2);
    assert_eq!(states(ledger, new).await, [JobState::Ready; 2]);
    assert_eq!(run_state(ledger, new).await, RunState::Running);
    for envelope in take(ledger, 10).await {
        assert_eq!((envelope.run_id, envelope.fence, envelope.attempts), (new, 1, 0));
        record(ledger, &envelope, success("this time")).await;
    }
    assert_eq!(run_state(ledger, new).await, RunState::Finished);
    let sent = before.into_iter().map(|row| JobRow { sent_again_in: Some(new), ..row }).collect::<Vec<_>>();
    assert_eq!(format!("{:?}", rows(ledger, old).await), format!("{sent:?}"), "it says where");
    assert!(rows(ledger, new).await.iter().all(|row| row.sent_again_in.is_none()));
}

/// However it is asked for, and however often it is named.
pub async fn nothing_is_redriven_twice(ledger: &Subject) {
    let run = dead_run(ledger, jobs("a", 1, 2)).await;
    let first = rows(ledger, run).await[0].job_id;
    let (count, new) = redrive(ledger, DeadJobs::Jobs(vec![first, first])).await;
    assert_eq!(count, 1);
    assert_eq!(rows(ledger, new).await.len(), 1);
    assert_eq!(redrive(ledger, DeadJobs::Jobs(vec![first])).await.0, 0);
    assert_eq!(redrive(ledger, DeadJobs::Run(run)).await.0, 1, "the other one");
    assert_eq!(redrive(ledger, DeadJobs::All).await.0, 0);

    // What dies again is another dead job.
    for envelope in take(ledger, 10).await {
        record(ledger, &envelope, die(DeadReason::Permanent)).await;
    }
    assert_eq!(redrive(ledger, DeadJobs::All).await.0, 2);
}

/// Living jobs and unknown ones are passed over.
pub async fn by_job_by_run_or_all(ledger: &Subject) {
    let first = dead_run(ledger, jobs("a", 1, 3)).await;
    dead_run(ledger, jobs("b", 1, 2)).await;
    let alive = run_of(ledger, jobs("c", 1, 1)).await;
    let some = vec![rows(ledger, first).await[1].job_id, rows(ledger, alive).await[0].job_id, JobId::new()];
    assert_eq!(redrive(ledger, DeadJobs::Jobs(some)).await.0, 1);
    assert_eq!(redrive(ledger, DeadJobs::Run(first)).await.0, 2);
    assert_eq!(redrive(ledger, DeadJobs::Run(alive)).await.0, 0);
    assert_eq!(redrive(ledger, DeadJobs::All).await.0, 2);
}

/// A tenant's args never come into another tenant's run.
pub async fn other_tenants_dead_stay(ledger: &Subject) {
    let theirs = open(ledger, "globex").await;
    add(ledger, theirs, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, die(DeadReason::Permanent)).await;
    let dead = rows(ledger, theirs).await[0].job_id;
    for which in [DeadJobs::All, DeadJobs::Run(theirs), DeadJobs::Jobs(vec![dead])] {
        assert_eq!(redrive(ledger, which).await.0, 0);
    }
    assert_eq!(ledger.redrive(DeadJobs::All, new_run("globex")).await.unwrap(), 1);
    assert_eq!(take_one(ledger).await.tenant, "globex");
}

/// But for its age: attempts and deadline begin anew.
pub async fn a_redriven_job_is_what_it_was(ledger: &Subject) {
    let old = NewJob {
        upstream: Some("llm".into()),
        deadline: Some(HOUR),
        estimate: Estimate { input_tokens: 70, output_tokens: 80 },
        occurrences: 5,
        max_attempts: 9,
        ..job(1, "same")
    };
    let run = dead_run(ledger, vec![old.clone(), NewJob { seq: Some(2), ..old.clone() }]).await;
    let (count, new) = redrive(ledger, DeadJobs::Run(run)).await;
    assert_eq!(count, 2);
    assert_eq!(states(ledger, new).await, [JobState::Ready, JobState::Attached], "twins are twins again");
    let row = rows(ledger, new).await.remove(0);
    assert_eq!((row.source, row.occurrences, row.attempts), (old.source, 5, 0));
    let envelope = take_one(ledger).await;
    assert_eq!(args_of(&envelope).get(), old.args.get());
    assert_eq!((envelope.upstream, envelope.estimate), (old.upstream, old.estimate));
    assert_eq!((envelope.max_attempts, envelope.dedup_key), (9, old.dedup_key));
    assert!(envelope.deadline_ms.unwrap() > 3_000_000);
}

/// Nobody needs an empty one.
pub async fn with_nothing_dead_there_is_no_run(ledger: &Subject) {
    run_of(ledger, jobs("a", 1, 1)).await;
    let (count, run) = redrive(ledger, DeadJobs::All).await;
    assert_eq!(count, 0);
    assert!(ledger.run(run).await.unwrap().is_none());
}
