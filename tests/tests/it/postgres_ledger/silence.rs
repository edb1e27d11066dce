//! Connections that say nothing any more, and are not closed either.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{JobState, PortError};
use fleetline_shared::ports::{FinishLedger, Finished};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{
    check_counters, finish_of, jobs, run_of, states, success, take,
};
use fleetline_tests::services::Database;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

/// The server's end of a connection, which stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    /// Of the only connection of that name.
    async fn backend(url: &str, application: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let sql =
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()";
        // One that was given up may not have ended yet.
        let pid = loop {
            let pids = sqlx::query_scalar(sql).bind(application).fetch_all(&mut connection).await.unwrap();
            if let [pid] = pids[..] {
                break Pid::from_raw(pid).unwrap();
            }
        };
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// An outcome is recorded by another connection; what commits by itself may be done, and its caller is told.
#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let database = Database::new().await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(200),
        application_name: "silent".into(),
        listen: false,
        pool_size: 1,
        ..database.options()
    };
    let subject = PostgresLedger::open(&options).await.unwrap();
    let ledger: Subject = Arc::new(database.open().await);
    let run = run_of(&ledger, jobs("a", 1, 2)).await;
    let taken = take(&ledger, 2).await;

    let long = Duration::from_mins(1);
    let stopped = Stopped::backend(&database.url, "silent").await;
    let group = taken.iter().map(|envelope| finish_of(envelope, success("done"))).collect();
    let recorded = timeout(long, subject.finish(group)).await.expect("it does not wait for ever");
    assert_eq!(recorded.unwrap(), vec![Finished::Recorded; 2]);
    assert_eq!(states(&ledger, run).await, [JobState::Succeeded; 2]);
    drop(stopped);

    let stopped = Stopped::backend(&database.url, "silent").await;
    let asked = vec![(taken[0].job_id, taken[0].fence)];
    let answer = timeout(long, subject.validity(asked, long)).await.expect("it does not wait for ever");
    assert!(matches!(answer, Err(PortError::Unavailable { .. })), "{answer:?}");
    drop(stopped);
    check_counters(&ledger).await;
}
