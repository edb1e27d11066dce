//! Rows that the database cannot hold.

use std::sync::Arc;

use fleetline_shared::domain::{DeadReason, Decision, Done, JobState, NewJob, PortError};
use fleetline_shared::ports::Finished;
use fleetline_shared::postgres::PostgresLedger;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, check_counters, done, finish_of, job, jobs, new_run, open, raw, rows, run_of, states,
    success, take,
};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use fleetline_tests::services::Database;

/// A NUL where the database holds text. The others are recorded, and this one when it is repaired.
#[tokio::test]
async fn a_finish_that_cannot_be_recorded_spoils_no_other() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = run_of(&ledger, jobs("a", 1, 3)).await;
    let taken = take(&ledger, 3).await;
    let mut poison = done("fine");
    poison.follow_ups = vec![NewJob { kind: "nul \0".into(), ..job(0, "b") }];
    let group = vec![
        finish_of(&taken[0], success("one")),
        finish_of(&taken[1], Decision::Succeed(poison)),
        finish_of(&taken[2], success("three")),
    ];
    let answers = ledger.finish(group).await.unwrap();
    assert_eq!((&answers[0], &answers[2]), (&Finished::Recorded, &Finished::Recorded));
    assert!(matches!(&answers[1], Finished::Refused(why) if why.contains("cannot hold")), "{answers:?}");
    let expected = [JobState::Succeeded, JobState::Dispatched, JobState::Succeeded];
    assert_eq!(states(&ledger, run).await, expected, "nothing of the refused one is written");
    let repaired = finish_of(&taken[1], success("two"));
    assert_eq!(ledger.finish(vec![repaired]).await.unwrap(), [Finished::Recorded]);
    check_counters(&ledger).await;
}

/// A paid result is not thrown away for a NUL, nor a failure for one in its error.
#[tokio::test]
async fn a_nul_in_an_answer_or_an_error_is_recorded() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = run_of(&ledger, jobs("a", 1, 3)).await;
    let taken = take(&ledger, 3).await;
    let mut odd = done("");
    (odd.analyser, odd.model) = ("a\0".into(), Some("m\0".into()));
    odd.output = raw(r#"{"text":"a\u0000b"}"#);
    odd.facts = vec![json!({"text": "a\0b"})];
    let dead = Decision::Die { reason: DeadReason::Permanent, error: "a\0b".into() };
    let stand_in = Decision::Succeed(Done { stand_in: Some("a\0b".into()), ..odd.clone() });
    let usual = vec![finish_of(&taken[0], Decision::Succeed(odd))];
    assert_eq!(ledger.finish(usual).await.unwrap(), [Finished::Recorded]);
    let group = vec![finish_of(&taken[1], dead), finish_of(&taken[2], stand_in)];
    assert_eq!(ledger.finish(group).await.unwrap(), [Finished::Recorded, Finished::Recorded]);
    let rows = rows(&ledger, run).await;
    for row in [&rows[0], &rows[2]] {
        assert_eq!(row.output_value(), Some(json!({"text": "a\0b"})));
        assert_eq!(row.facts, [json!({"text": "a\0b"})]);
        assert_eq!(row.analyser.as_deref(), Some("a\u{fffd}"));
        assert_eq!(row.model.as_deref(), Some("m\u{fffd}"));
    }
    assert_eq!(rows[2].error.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(rows[1].error.as_deref(), Some("a\u{fffd}b"));
}

/// All of the batch: the caller hears which value it is.
#[tokio::test]
async fn a_job_that_cannot_be_held_is_refused() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let run = open(&ledger, TENANT).await;
    let mut bad = job(1, "a");
    bad.upstream = Some("nul \0".into());
    let error = ledger.add_jobs(run, vec![bad, job(2, "b")]).await.unwrap_err();
    assert!(matches!(error, PortError::Invalid { .. }), "{error:?}");
    assert!(rows(&ledger, run).await.is_empty());
    assert_eq!(add(&ledger, run, vec![job(1, "a"), job(2, "b")]).await.ready, 2);
}

/// What is wrong with the database is no fault of what is submitted: the same request will do later.
#[tokio::test]
async fn a_database_without_its_tables_refuses_nothing() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("ALTER TABLE runs RENAME TO away").execute(&mut connection).await.unwrap();
    let error = ledger.open_run(new_run(TENANT)).await.unwrap_err();
    assert!(matches!(error, PortError::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains("fleetline migrate"), "{error}");
    sqlx::raw_sql("DELETE FROM _sqlx_migrations").execute(&mut connection).await.unwrap();
    let error = PostgresLedger::open(&database.options()).await.err().expect("it is of no version");
    assert!(matches!(error, PortError::Invalid { .. }), "no time heals it: {error:?}");
}
