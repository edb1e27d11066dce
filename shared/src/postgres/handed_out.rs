//! What is handed out and not finished, and its messages once more, for lines that may have lost theirs.

use sqlx::PgConnection;
use uuid::Uuid;

use super::fault::Result;
use super::numbers::{limit, number_of, uuid_of};
use super::runs::find_run;
use super::take::{message, read_with_lanes};
use crate::domain::{Envelope, JobId, LARGEST_ARGS};
use crate::ports::Scope;

pub(super) const HANDED_OUT: &str =
    "SELECT id FROM queue WHERE state = 1 AND kind = $1 AND ($2::bigint IS NULL OR run = $2)
     ORDER BY dispatched_at";

/// In the order of their dispatches.
pub(super) async fn handed_out(
    connection: &mut PgConnection,
    scope: Scope,
    kind: &str,
) -> Result<Vec<JobId>> {
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run).await?),
    };
    let ids: Vec<Uuid> = sqlx::query_scalar(HANDED_OUT).bind(kind).bind(run).fetch_all(connection).await?;
    Ok(ids.into_iter().map(|id| JobId::from_bytes(id.into_bytes())).collect())
}

/// Columns as those of [`FEW`](super::few::FEW). `$3`: bytes of args that a message carries.
pub(super) const MESSAGES: &str = concat!(
    "
    SELECT 1::bigint, f.turn, ",
    message!(args "$3"),
    ", q.upstream, q.tenant, q.run, r.id
    FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY f (n, id, turn),
      LATERAL (SELECT * FROM queue WHERE n = f.n AND id = f.id AND state + 0 = 1 OFFSET 0) q,
      LATERAL (SELECT * FROM jobs WHERE n = q.n OFFSET 0) j,
      LATERAL (SELECT id FROM runs WHERE n = q.run OFFSET 0) r"
);

pub(super) async fn messages(
    connection: &mut PgConnection,
    kind: &str,
    jobs: &[JobId],
) -> Result<Vec<Envelope>> {
    let rows = sqlx::query(MESSAGES)
        .bind(jobs.iter().map(|job| number_of(*job)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| uuid_of(*job)).collect::<Vec<_>>())
        .bind(limit(LARGEST_ARGS))
        .fetch_all(connection)
        .await?;
    Ok(read_with_lanes(rows, kind)?.envelopes)
}
