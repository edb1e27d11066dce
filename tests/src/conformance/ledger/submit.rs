//! Opening runs and adding jobs.

use std::sync::Arc;

use fleetline_shared::domain::{JobState, NewJob, NewRun, PortError, RunId, RunState, Usage};
use fleetline_shared::ports::{Added, CancelJobs, DeadJobs, Finish, Finished, OpenedRun, Scope, Seal};
use serde_json::json;
use tokio::task::JoinSet;

use super::Subject;
use super::prelude::*;

fn keyed(tenant: &str, key: &str) -> NewRun {
    NewRun { idempotency_key: Some(key.into()), ..new_run(tenant) }
}

/// Also when the run is sealed already.
pub async fn a_key_resumes_its_unfinished_run(ledger: &Subject) {
    let first = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    assert!(!first.resumed);
    let again = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    assert_eq!((again.id, again.resumed), (first.id, true));

    add(ledger, first.id, jobs("a", 1, 1)).await;
    ledger.seal_run(first.id, Seal::default()).await.unwrap();
    assert_eq!(ledger.open_run(keyed(TENANT, "k")).await.unwrap().id, first.id);

    let other = ledger.open_run(keyed(TENANT, "other")).await.unwrap();
    assert!(!other.resumed);
    assert_ne!(other.id, first.id);
}

/// What is finished stays as it was; the key then begins a new run.
pub async fn a_finished_run_is_not_resumed(ledger: &Subject) {
    let first = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    ledger.seal_run(first.id, Seal::default()).await.unwrap();
    assert_eq!(run_state(ledger, first.id).await, RunState::Finished);

    let second = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    assert!(!second.resumed);
    assert_ne!(second.id, first.id);
    assert_eq!(ledger.open_run(keyed(TENANT, "k")).await.unwrap().id, second.id);
}

/// Its jobs under way are paid for all the same, and the new run shares them.
pub async fn a_cancelled_run_is_not_resumed(ledger: &Subject) {
    let first = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    add(ledger, first.id, jobs("a", 1, 2)).await;
    let under_way = take(ledger, 1).await;
    ledger.cancel(TENANT, CancelJobs::Run(first.id)).await.unwrap();

    let second = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    assert!(!second.resumed && second.id != first.id);
    let added = add(ledger, second.id, jobs("a", 1, 2)).await;
    assert_eq!(added, Added { ready: 1, attached: 1, ..Added::default() });
    assert_eq!(ledger.open_run(keyed(TENANT, "k")).await.unwrap().id, second.id);
    record(ledger, &under_way[0], success("done")).await;
    assert_eq!(states(ledger, second.id).await, [JobState::Succeeded, JobState::Ready]);
    check_counters(ledger).await;
}

/// As of any that is to be there once.
pub async fn a_key_of_once_finds_its_cancelled_run(ledger: &Subject) {
    let once = || NewRun { once: true, ..keyed(TENANT, "k") };
    let first = ledger.open_run(once()).await.unwrap();
    add(ledger, first.id, jobs("a", 1, 1)).await;
    take_one(ledger).await;
    ledger.cancel(TENANT, CancelJobs::Run(first.id)).await.unwrap();
    let again = ledger.open_run(once()).await.unwrap();
    assert_eq!((again.id, again.resumed), (first.id, true));
}

/// Keys are a tenant's own.
pub async fn another_tenants_run_is_not_resumed(ledger: &Subject) {
    let ours = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
    let theirs = ledger.open_run(keyed("globex", "k")).await.unwrap();
    assert!(!theirs.resumed);
    assert_ne!(theirs.id, ours.id);
}

/// No key is not the same key.
pub async fn runs_without_a_key_are_apart(ledger: &Subject) {
    let first = open(ledger, TENANT).await;
    let second = ledger.open_run(new_run(TENANT)).await.unwrap();
    assert!(!second.resumed);
    assert_ne!(second.id, first);
}

/// Whatever the job has become since.
pub async fn a_number_is_added_once(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    assert_eq!(add(ledger, run, jobs("a", 1, 2)).await, Added { ready: 2, ..Added::default() });
    let overlap = add(ledger, run, jobs("a", 2, 3)).await;
    assert_eq!(overlap, Added { ready: 1, known: 1, ..Added::default() });

    for envelope in take(ledger, 2).await {
        record(ledger, &envelope, success("done")).await;
    }
    let again = add(ledger, run, jobs("a", 1, 3)).await;
    assert_eq!(again, Added { known: 3, ..Added::default() });
    let twice_in_a_batch = add(ledger, run, vec![job(4, "b"), job(4, "c")]).await;
    assert_eq!(twice_in_a_batch, Added { ready: 1, known: 1, ..Added::default() });
    assert_eq!(states(ledger, run).await.len(), 4);

    let other = open(ledger, TENANT).await;
    assert_eq!(add(ledger, other, vec![job(1, "d")]).await.ready, 1, "numbers are a run's own");
}

/// Of ten runs that submit the same key at the same time.
pub async fn of_many_submissions_of_a_key_one_is_ready(ledger: &Subject) {
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let ledger = Arc::clone(ledger);
        tasks.spawn(async move {
            let run = open(&ledger, TENANT).await;
            let mut added = Added::default();
            for seq in 1..=5 {
                added += add(&ledger, run, vec![job(seq, "same")]).await;
            }
            added
        });
    }
    let mut sum = Added::default();
    while let Some(added) = tasks.join_next().await {
        sum += added.unwrap();
    }
    assert_eq!(sum, Added { ready: 1, attached: 49, ..Added::default() });
    check_counters(ledger).await;
    assert_eq!(take(ledger, 100).await.len(), 1);
}

async fn submit_whole(ledger: &Subject, run: NewRun, jobs: Vec<NewJob>) -> OpenedRun {
    ledger.submit_run(run, jobs, json!({ "from": "tester" })).await.unwrap()
}

/// With jobs that start in every way there is, and with so many others that they go another way.
pub async fn a_whole_run_is_submitted_at_once(ledger: &Subject) {
    for (name, others) in [("small", 0), ("large", 40)] {
        let key = |key: &str| format!("{name} {key}");
        let earlier = run_of(ledger, vec![job(1, &key("done")), job(2, &key("live"))]).await;
        record(ledger, &take(ledger, 1).await[0], success("earlier")).await;

        let mut submitted = vec![job(1, &key("done")), job(2, &key("live"))];
        submitted.extend([job(3, &key("new")), job(4, &key("new"))]);
        submitted.extend(jobs(&key("other"), 5, 4 + others));
        let run = submit_whole(ledger, new_run(TENANT), submitted).await;
        assert!(!run.resumed);
        let mut expected = vec![JobState::Succeeded, JobState::Attached, JobState::Ready, JobState::Attached];
        expected.resize(4 + usize::try_from(others).unwrap(), JobState::Ready);
        assert_eq!(states(ledger, run.id).await, expected);
        let row = run_row(ledger, run.id).await;
        assert_eq!((row.state, &row.notes), (RunState::Running, &json!({ "from": "tester" })));
        assert_eq!((row.counts.jobs, row.counts.succeeded, row.counts.reused), (4 + others, 1, 1));
        for envelope in take(ledger, 100).await {
            record(ledger, &envelope, success("now")).await;
        }
        for run in [earlier, run.id] {
            assert_eq!(run_state(ledger, run).await, RunState::Finished);
        }

        let reused = vec![job(1, &key("done")), job(2, &key("new"))];
        let reused = submit_whole(ledger, new_run(TENANT), reused).await;
        assert_eq!(states(ledger, reused.id).await, [JobState::Succeeded; 2]);
        assert_eq!(run_state(ledger, reused.id).await, RunState::Finished, "with its last job");
    }
    check_counters(ledger).await;
}

/// A number that is there twice is one job.
pub async fn a_number_is_submitted_once(ledger: &Subject) {
    let run = submit_whole(ledger, new_run(TENANT), vec![job(1, "a"), job(1, "b"), job(2, "c")]).await;
    assert_eq!(states(ledger, run.id).await, [JobState::Ready; 2]);
    check_counters(ledger).await;
}

/// Of many small runs with the same jobs in other orders one has each job, and none waits for another for ever.
pub async fn of_many_small_runs_of_the_same_jobs_one_has_each(ledger: &Subject) {
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let ledger = Arc::clone(ledger);
        let mut same = jobs("same", 1, 8);
        same.rotate_left(n % 8);
        tasks.spawn(async move { submit_whole(&ledger, new_run(TENANT), same).await.id });
    }
    let mut ready = 0;
    for run in tasks.join_all().await {
        let states = states(ledger, run).await;
        assert_eq!(states.len(), 8);
        ready += states.iter().filter(|state| **state == JobState::Ready).count();
    }
    assert_eq!(ready, 8);
    check_counters(ledger).await;
}

/// As any run that is sealed without jobs.
pub async fn a_whole_run_without_jobs_is_finished(ledger: &Subject) {
    let run = submit_whole(ledger, new_run(TENANT), Vec::new()).await;
    assert_eq!(run_state(ledger, run.id).await, RunState::Finished);
    assert_eq!(run_row(ledger, run.id).await.notes, json!({ "from": "tester" }));
}

/// What comes later under its key changes nothing, and one of another tenant or key is another.
pub async fn a_key_submits_its_whole_run_once(ledger: &Subject) {
    let once = |tenant, key| NewRun { once: true, ..keyed(tenant, key) };
    let first = submit_whole(ledger, once(TENANT, "k"), jobs("a", 1, 2)).await;
    let again = submit_whole(ledger, once(TENANT, "k"), jobs("b", 1, 5)).await;
    assert_eq!((again.id, again.resumed), (first.id, true));
    for envelope in take(ledger, 10).await {
        record(ledger, &envelope, success("done")).await;
    }
    assert_eq!(run_state(ledger, first.id).await, RunState::Finished);
    let late = submit_whole(ledger, once(TENANT, "k"), jobs("c", 1, 5)).await;
    assert_eq!((late.id, late.resumed), (first.id, true));
    assert_eq!(states(ledger, first.id).await.len(), 2);
    for other in [once("globex", "k"), once(TENANT, "other")] {
        assert!(!submit_whole(ledger, other, jobs("d", 1, 1)).await.resumed);
    }
}

/// Of ten at the same time: the others find it whole.
pub async fn of_many_submissions_of_a_whole_run_one_counts(ledger: &Subject) {
    let mut tasks = JoinSet::new();
    for n in 0..10 {
        let ledger = Arc::clone(ledger);
        tasks.spawn(async move {
            let run = submit_whole(&ledger, keyed(TENANT, "k"), jobs(&n.to_string(), 1, 3)).await;
            (run, rows(&ledger, run.id).await.len())
        });
    }
    let seen = tasks.join_all().await;
    assert_eq!(seen.iter().filter(|(run, _)| !run.resumed).count(), 1);
    assert!(seen.iter().all(|(run, jobs)| run.id == seen[0].0.id && *jobs == 3), "{seen:?}");
    check_counters(ledger).await;
}

/// In every call that takes one.
pub async fn a_run_that_is_not_there_is_named(ledger: &Subject) {
    let run = RunId::new();
    let scope = Scope::Run(run);
    let errors: Vec<PortError> = vec![
        ledger.add_jobs(run, jobs("a", 1, 1)).await.unwrap_err(),
        ledger.seal_run(run, Seal::default()).await.unwrap_err(),
        ledger.dispatch(ask(scope, 1)).await.unwrap_err(),
        ledger.next_due(scope).await.unwrap_err(),
        ledger.sweep(scope, HOUR, 3).await.unwrap_err(),
        ledger.redrive(DeadJobs::Run(run), new_run(TENANT)).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, PortError::Invalid { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("no run {run}")), "{error}");
    }
    assert!(ledger.run(run).await.unwrap().is_none());
}

/// All or nothing; jobs that it has already are no news.
pub async fn a_finished_run_takes_no_new_jobs(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    record(ledger, &take_one(ledger).await, success("done")).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);

    assert_eq!(add(ledger, run, jobs("a", 1, 1)).await.known, 1);
    let error = ledger.add_jobs(run, jobs("a", 1, 2)).await.unwrap_err();
    assert!(matches!(error, PortError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("run {run}")), "{error}");
    assert_eq!(states(ledger, run).await, [JobState::Succeeded]);
}

/// They may be cut, but spoil no job and no run.
pub async fn absurd_numbers_do_no_harm(ledger: &Subject) {
    let mut wild = jobs("a", 1, 3);
    for job in &mut wild {
        job.occurrences = u64::MAX;
        job.estimate.input_tokens = u64::MAX;
        job.estimate.output_tokens = u64::MAX;
    }
    let run = run_of(ledger, wild).await;
    let usage = Usage { calls: u64::MAX, input_tokens: u64::MAX, output_tokens: u64::MAX };
    let taken = take(ledger, 3).await;
    let finishes = taken.iter().map(|envelope| Finish { usage, ..finish_of(envelope, success("done")) });
    let answers = ledger.finish(finishes.collect()).await.unwrap();
    assert_eq!(answers, vec![Finished::Recorded; 3]);
    check_counters(ledger).await;
    assert_eq!(run_state(ledger, run).await, RunState::Finished);
}

/// A client that does not know whether its request arrived sends it again.
pub async fn a_key_of_once_finds_its_finished_run(ledger: &Subject) {
    let once = |key: &str| NewRun { id: RunId::new(), once: true, ..keyed(TENANT, key) };
    let first = ledger.open_run(once("k")).await.unwrap();
    ledger.seal_run(first.id, Seal::default()).await.unwrap();
    assert_eq!(run_state(ledger, first.id).await, RunState::Finished);
    let again = ledger.open_run(once("k")).await.unwrap();
    assert_eq!((again.id, again.resumed), (first.id, true));
    assert!(!ledger.open_run(once("l")).await.unwrap().resumed);
}

/// Whatever has become of it, and nobody else's.
pub async fn the_newest_run_of_a_key_is_found(ledger: &Subject) {
    assert_eq!(ledger.run_of_key(TENANT, "k").await.unwrap(), None);
    let mut newest = None;
    for _ in 0..2 {
        let opened = ledger.open_run(keyed(TENANT, "k")).await.unwrap();
        assert!(!opened.resumed);
        newest = Some(opened.id);
        assert_eq!(ledger.run_of_key(TENANT, "k").await.unwrap(), newest);
        ledger.seal_run(opened.id, Seal::default()).await.unwrap();
        assert_eq!(run_state(ledger, opened.id).await, RunState::Finished);
    }
    ledger.open_run(keyed("globex", "k")).await.unwrap();
    ledger.open_run(keyed(TENANT, "l")).await.unwrap();
    ledger.open_run(new_run(TENANT)).await.unwrap();
    assert_eq!(ledger.run_of_key(TENANT, "k").await.unwrap(), newest);
    assert_eq!(ledger.run_of_key("globex", "l").await.unwrap(), None);
}
