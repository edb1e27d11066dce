//! When the next job that is not due yet will be.

use sqlx::PgConnection;

use super::fault::Result;
use super::runs::find_run;
use crate::ports::Scope;

/// Only jobs that were put back for later are in its index.
pub(super) const NEXT_DUE: &str = "
    SELECT ceil(extract(epoch FROM min(run_at) - now()) * 1000)::bigint FROM queue
    WHERE state = 0 AND waits AND run_at > now()";
pub(super) const NEXT_DUE_OF_RUN: &str = "
    SELECT ceil(extract(epoch FROM least(
      (SELECT min(run_at) FROM queue WHERE state = 0 AND waits AND run = $1 AND run_at > now()),
      (SELECT min(twin.run_at) FROM queue waiting, LATERAL (SELECT * FROM queue WHERE n = waiting.twin OFFSET 0) twin
       WHERE waiting.state = 2 AND waiting.elsewhere AND waiting.run = $1
         AND twin.state = 0 AND twin.run_at > now())) - now()) * 1000)::bigint";

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
