//! What follows from a job whose run is cancelled at that moment.

use std::sync::Arc;

use fleetline_shared::domain::{Decision, JobState, NewJob, RunState, Source};
use fleetline_shared::ports::CancelJobs;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, check_counters, done, finish_of, job, new_run, record, run_of, run_state, states, success, take,
};
use fleetline_tests::services::Database;
use sqlx::{Connection, PgConnection};

/// The finish has seen its run uncancelled, and waits for the key of the follow-up. The cancellation waits for the
/// parent, and then goes on behind the last job that it has seen, which is a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_born_into_a_run_that_is_cancelled_meanwhile() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut holding = PgConnection::connect(&database.url).await.unwrap();
    // The key of what will follow, held as by a submission.
    let key = run_of(&ledger, vec![job(1, "next")]).await;
    record(&ledger, &take(&ledger, 1).await[0], success("earlier")).await;
    assert_eq!(run_state(&ledger, key).await, RunState::Finished);
    let run = ledger.open_run(new_run(TENANT)).await.unwrap().id;
    ledger.add_jobs(run, vec![job(1, "parent")]).await.unwrap();
    let parent = take(&ledger, 1).await.remove(0);
    sqlx::query("UPDATE dedup SET result = NULL").execute(&mut holding).await.unwrap();
    let hold = "BEGIN; SELECT FROM dedup WHERE live IS NULL FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut holding).await.unwrap();

    let source = Source::FollowUp { follows: parent.job_id };
    let mut with_next = done("parent");
    with_next.follow_ups = vec![NewJob { seq: None, source, ..job(0, "next") }];
    let finishing = tokio::spawn({
        let (ledger, finish) = (Arc::clone(&ledger), finish_of(&parent, Decision::Succeed(with_next)));
        async move { ledger.finish(vec![finish]).await }
    });
    database.waiting(1).await;
    // A later one, which is done.
    ledger.add_jobs(run, vec![job(2, "later")]).await.unwrap();
    ledger.finish(vec![finish_of(&take(&ledger, 1).await[0], success("later"))]).await.unwrap();
    let cancelling = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.cancel(TENANT, CancelJobs::Run(run)).await }
    });
    database.waiting(2).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    finishing.await.unwrap().unwrap();
    cancelling.await.unwrap().unwrap();

    assert!(take(&ledger, 10).await.is_empty(), "nothing of it begins any more");
    assert_eq!(states(&ledger, run).await, [JobState::Succeeded; 2]);
    assert_eq!(run_state(&ledger, run).await, RunState::Finished);
    check_counters(&ledger).await;
}
