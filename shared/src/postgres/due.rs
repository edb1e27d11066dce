//! Jobs that were put back for later: when the next of them will be due, and waking those that are.

use sqlx::PgConnection;

use super::fault::Result;
use super::runs::find_run;
use crate::ports::Scope;

/// Only jobs that were put back for later are in its index. In order of times, for that index alone has: the
/// smallest time could as well be found by walking the one of runs.
pub(super) const NEXT_DUE: &str = "
    SELECT ceil(extract(epoch FROM (
      SELECT run_at FROM queue WHERE state = 0 AND waits AND run_at > now() ORDER BY run_at LIMIT 1) - now())
      * 1000)::bigint";
pub(super) const NEXT_DUE_OF_RUN: &str = "
    SELECT ceil(extract(epoch FROM least(
      (SELECT min(run_at) FROM queue WHERE state = 0 AND waits AND run = $1 AND run_at > now()),
      (SELECT min(twin.run_at) FROM queue waiting, LATERAL (SELECT * FROM queue WHERE n = waiting.twin OFFSET 0) twin
       WHERE waiting.state = 2 AND waiting.elsewhere AND waiting.run = $1
         AND twin.state = 0 AND twin.run_at > now())) - now()) * 1000)::bigint";

/// Jobs that are woken in one statement, and such statements in one dispatch, at most.
const BATCH: u64 = 1_000;
const BATCHES: usize = 20;

/// Which those are that become due next is told by an index of their own; so lanes are of due jobs alone. The
/// commit does not wait for the disk: what a crash of the server puts to sleep is woken again.
macro_rules! wake {
    ($of:literal, $order:literal) => {
        concat!(
            "WITH settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
            due AS MATERIALIZED (
              SELECT q.n FROM settings, LATERAL (
                SELECT n FROM queue WHERE state = 0 AND waits AND run_at <= now()",
            $of,
            " ORDER BY ",
            $order,
            "run_at LIMIT $1 FOR UPDATE SKIP LOCKED) q
            )
            UPDATE queue q SET waits = false FROM due WHERE q.n = ANY(ARRAY[due.n])"
        )
    };
}

pub(super) const WAKE: &str = wake!("", "");
pub(super) const WAKE_OF_RUN: &str = wake!(" AND run = $2", "run, ");

/// Puts those that are due into their lanes, in order of times. What another wakes at this moment is left to it, and
/// of a great many the last ones to the next dispatch: this one has its time, too.
pub(super) async fn wake(connection: &mut PgConnection, run: Option<i64>) -> Result<()> {
    let query = || match run {
        None => sqlx::query(WAKE).bind(BATCH.cast_signed()),
        Some(run) => sqlx::query(WAKE_OF_RUN).bind(BATCH.cast_signed()).bind(run),
    };
    for _ in 0..BATCHES {
        if query().execute(&mut *connection).await?.rows_affected() < BATCH {
            break;
        }
    }
    Ok(())
}

/// Milliseconds from now, rounded up: who sleeps so long finds it due.
pub(super) async fn next_due(connection: &mut PgConnection, scope: Scope) -> Result<Option<i64>> {
    let query = match scope {
        Scope::All => sqlx::query_scalar(NEXT_DUE),
        Scope::Run(run) => {
            let run = find_run(connection, run).await?;
            sqlx::query_scalar(NEXT_DUE_OF_RUN).bind(run)
        }
    };
    Ok(query.fetch_one(connection).await?)
}
