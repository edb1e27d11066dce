//! Runs: opening, finding, sealing.

use serde_json::Value;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::{Fault, Result};
use super::numbers::{bounded, for_people};
use crate::domain::{NewRun, RunId};
use crate::ports::OpenedRun;

pub(super) fn uuid_of(run: RunId) -> Uuid {
    Uuid::from_bytes(*run.as_bytes())
}

/// In a transaction, if the run has a key. Repeated with the same id it gives the same answer.
pub(super) async fn open_run(connection: &mut PgConnection, run: &NewRun) -> Result<OpenedRun> {
    if let Some(known) = known_run(connection, run).await?
        && is_read_again(connection, known.id).await?
    {
        return Ok(known);
    }
    insert_run(connection, run, None, 0).await?;
    Ok(OpenedRun { id: run.id, resumed: false })
}

/// `false`: it was [ended](super::unread) meanwhile, as one that nobody reads.
async fn is_read_again(connection: &mut PgConnection, known: RunId) -> Result<bool> {
    let updated =
        sqlx::query("UPDATE runs SET read_at = now() WHERE id = $1 AND idempotency_key IS NOT NULL")
            .bind(uuid_of(known))
            .execute(connection)
            .await?;
    Ok(updated.rows_affected() > 0)
}

/// The run that the same key stands for. Who asks for that key next waits for the end of this transaction.
pub(super) async fn known_run(connection: &mut PgConnection, run: &NewRun) -> Result<Option<OpenedRun>> {
    let Some(key) = &run.idempotency_key else { return Ok(None) };
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 0))")
        .bind(&run.tenant)
        .bind(key)
        .execute(&mut *connection)
        .await?;
    let known = run_of_key(connection, &run.tenant, key, run.once).await?;
    Ok(known.map(|id| OpenedRun { id, resumed: id != run.id }))
}

/// The newest run with this key: one that still takes jobs, or any.
pub(super) async fn run_of_key(
    connection: &mut PgConnection,
    tenant: &str,
    key: &str,
    also_ended: bool,
) -> Result<Option<RunId>> {
    let known: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM runs WHERE tenant = $1 AND idempotency_key = $2 AND (state < 2 AND cancelled_at IS NULL OR $3)
         ORDER BY n DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(key)
    .bind(also_ended)
    .fetch_optional(connection)
    .await?;
    Ok(known.map(|id| RunId::from_bytes(id.into_bytes())))
}

/// The number of the new run, and numbers for so many jobs; `None` if it is there already. With notes it is
/// sealed.
pub(super) async fn insert_run(
    connection: &mut PgConnection,
    run: &NewRun,
    notes: Option<&Value>,
    jobs: usize,
) -> Result<Option<(i64, Vec<i64>)>> {
    let query = sqlx::query(
        "WITH inserted AS (
           INSERT INTO runs (id, tenant, pipeline, input, idempotency_key, settings, notes, state)
           VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, 'null'), ($7 IS NOT NULL)::int)
           ON CONFLICT (id) DO NOTHING RETURNING n
         )
         SELECT n, ARRAY(SELECT nextval('job_numbers') FROM generate_series(1, $8)) FROM inserted",
    );
    let inserted = bind_run(query, run)
        .bind(notes.map(Value::to_string))
        .bind(i32::try_from(jobs).unwrap_or(i32::MAX))
        .fetch_optional(connection)
        .await?;
    inserted.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// What a run is opened with, as the next arguments.
pub(super) fn bind_run<'q>(
    query: Query<'q, Postgres, PgArguments>,
    run: &NewRun,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(uuid_of(run.id))
        .bind(&run.tenant)
        .bind(&run.pipeline)
        .bind(for_people(&run.input))
        .bind(&run.idempotency_key)
        .bind(run.settings.to_string())
}

/// The run's number.
pub(super) async fn find_run(connection: &mut PgConnection, id: RunId) -> Result<i64> {
    sqlx::query_scalar("SELECT n FROM runs WHERE id = $1")
        .bind(uuid_of(id))
        .fetch_optional(connection)
        .await?
        .ok_or(Fault::NoRun(id))
}

/// Whether the run finished with it.
pub(super) async fn seal_run(connection: &mut PgConnection, id: RunId, notes: &Value) -> Result<bool> {
    let run = find_run(connection, id).await?;
    let finished = sqlx::query_scalar(
        "UPDATE runs SET notes = $2, state = greatest(state, 1::smallint) WHERE n = $1
         RETURNING state = 2 AND finished_at = now()",
    )
    .bind(run)
    .bind(notes.to_string())
    .fetch_one(connection)
    .await?;
    Ok(finished)
}

/// Set, not added: a resumed run counts its input anew. Its row gets what they differ by, last.
pub(super) async fn set_occurrences(
    connection: &mut PgConnection,
    id: RunId,
    occurrences: &[(u64, u64)],
) -> Result<()> {
    let run = find_run(connection, id).await?;
    let (seqs, counts): (Vec<i64>, Vec<i64>) =
        occurrences.iter().map(|(seq, count)| (seq.cast_signed(), bounded(*count))).unzip();
    let more: i64 = sqlx::query_scalar(
        "WITH held AS MATERIALIZED (
           SELECT j.n, j.occurrences AS before, o.count FROM unnest($2::bigint[], $3::bigint[]) o (seq, count),
             LATERAL (SELECT n, occurrences FROM jobs WHERE run = $1 AND seq = o.seq FOR NO KEY UPDATE) j
         ), set AS (
           UPDATE jobs j SET occurrences = held.count FROM held
           WHERE j.n = ANY(ARRAY[held.n]) AND held.count <> held.before
         )
         SELECT coalesce(sum(count - before), 0)::bigint FROM held",
    )
    .bind(run)
    .bind(seqs)
    .bind(counts)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query("UPDATE runs SET occurrences = occurrences + $2 WHERE n = $1")
        .bind(run)
        .bind(more)
        .execute(connection)
        .await?;
    Ok(())
}
