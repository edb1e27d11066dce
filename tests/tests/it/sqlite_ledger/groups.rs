//! Requests that share a commit.

use std::path::Path;

use fleetline_shared::domain::{Decision, JobState, NewJob, RunId};
use fleetline_shared::ports::Finished;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, check_counters, finish_of, job, jobs, open as open_run, raw, rows, run_of, states, success,
    take, take_one,
};
use tokio::task::JoinSet;

use super::{execute, open};

/// Submits a job of each name at the same time, each into a run of its own.
async fn submit_at_once(ledger: &Subject, names: &[String]) -> Vec<(RunId, Result<(), String>)> {
    let mut runs = Vec::new();
    for name in names {
        runs.push((open_run(ledger, TENANT).await, name));
    }
    let mut tasks = JoinSet::new();
    for (run, name) in runs {
        let ledger = ledger.clone();
        let args = raw(&format!(r#"{{"seq":1,"name":"{name}"}}"#));
        let new = NewJob { args, ..job(1, name) };
        tasks.spawn(async move {
            let answer = ledger.add_jobs(run, vec![new]).await;
            (run, answer.map(|_| ()).map_err(|error| error.to_string()))
        });
    }
    tasks.join_all().await
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = (0..60).map(|n| format!("good-{n}")).collect();
    names.extend((0..3).map(|n| format!("poison-{n}")));
    names
}

async fn assert_answers_are_true(ledger: &Subject, answers: &[(RunId, Result<(), String>)]) {
    for (run, answer) in answers {
        assert_eq!(rows(ledger, *run).await.len(), usize::from(answer.is_ok()), "{answer:?}");
    }
    check_counters(ledger).await;
}

fn refuse_poison(path: &Path, how: &str) {
    execute(
        path,
        &format!(
            "CREATE TRIGGER poison BEFORE INSERT ON job_inputs WHEN NEW.args LIKE '%poison%'
             BEGIN SELECT RAISE({how}, 'poisoned'); END;"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    refuse_poison(&path, "ABORT");
    let answers = submit_at_once(&ledger, &names()).await;
    let failed: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().err()).collect();
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|error| error.contains("poisoned")), "{failed:?}");
    assert_answers_are_true(&ledger, &answers).await;
}

/// Some errors end the whole transaction inside `SQLite`. Then nobody of the group is told "done",
/// and the next group begins afresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_transaction_is_told_to_everyone_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    refuse_poison(&path, "ROLLBACK");
    let answers = submit_at_once(&ledger, &names()).await;
    assert_answers_are_true(&ledger, &answers).await;
    assert!(answers.iter().filter(|(_, answer)| answer.is_err()).count() >= 3);

    execute(&path, "DROP TRIGGER poison;");
    for (run, _) in answers.iter().filter(|(_, answer)| answer.is_err()) {
        add(&ledger, *run, vec![job(1, &run.to_string())]).await;
    }
    check_counters(&ledger).await;
    assert_eq!(take(&ledger, 1000).await.len(), names().len());
}

#[tokio::test]
async fn a_finish_that_cannot_be_recorded_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    execute(
        &path,
        "CREATE TRIGGER poison BEFORE INSERT ON facts WHEN NEW.data LIKE '%poison%'
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END;",
    );
    let run = run_of(&ledger, jobs("a", 1, 3)).await;
    let taken = take(&ledger, 3).await;
    let mut finishes: Vec<_> = taken.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
    let Decision::Succeed(done) = &mut finishes[1].decision else { unreachable!() };
    done.facts = vec!["fine".into(), "poison".into()];

    let answers = ledger.finish(finishes).await.unwrap();
    assert_eq!((&answers[0], &answers[2]), (&Finished::Recorded, &Finished::Recorded));
    assert!(matches!(&answers[1], Finished::Refused(why) if why.contains("poisoned")), "{answers:?}");
    let expected = [JobState::Succeeded, JobState::Dispatched, JobState::Succeeded];
    assert_eq!(states(&ledger, run).await, expected, "nothing of the refused one is written");

    let another = finish_of(&taken[1], success("without poison"));
    assert_eq!(ledger.finish(vec![another]).await.unwrap(), [Finished::Recorded]);
    assert_eq!(states(&ledger, run).await, [JobState::Succeeded; 3]);
}

/// A caller that is gone does not take its group along.
#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_ledger_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder.path().join("ledger.db"));
    let run = run_of(&ledger, jobs("a", 1, 1)).await;
    let envelope = take_one(&ledger).await;
    let abandoned = ledger.finish(vec![finish_of(&envelope, success("done"))]);
    // Polled once, so that the request is on its way, then dropped.
    assert!(poll_once(abandoned).await.is_none_or(|answer| answer.is_ok()));
    // The next write is behind it.
    open_run(&ledger, TENANT).await;
    assert_eq!(states(&ledger, run).await, [JobState::Succeeded]);
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
