//! Storing results: at most one is current for each key.

use rusqlite::{Connection, OptionalExtension, params};

use super::finish::Target;
use crate::domain::ErasedDone;

/// The last result of the job's key, however old, and when it was stored.
pub(super) fn last_result(connection: &Connection, job: &Target) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT n, created_at FROM results
             WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND current = 1",
        )?
        .query_row(params![job.run.tenant, job.kind, job.dedup_key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Stores the result, or finds the one that another attempt of the same key has stored.
pub(super) fn store_result(
    connection: &Connection,
    job: &Target,
    done: &ErasedDone,
    now: i64,
) -> rusqlite::Result<i64> {
    if let Some(result) = insert_result(connection, job, done, now)? {
        return Ok(result);
    }
    let known = params![job.run.tenant, job.kind, job.dedup_key, now];
    let expired = connection
        .prepare_cached(
            "UPDATE results SET current = 0 WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3
               AND current = 1 AND fresh_until <= ?4",
        )?
        .execute(known)?;
    if expired > 0
        && let Some(result) = insert_result(connection, job, done, now)?
    {
        return Ok(result);
    }
    connection
        .prepare_cached(
            "SELECT n FROM results WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND current = 1",
        )?
        .query_row(params![job.run.tenant, job.kind, job.dedup_key], |row| row.get(0))
}

fn insert_result(
    connection: &Connection,
    job: &Target,
    done: &ErasedDone,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let result = connection
        .prepare_cached(
            "INSERT INTO results (job, tenant, kind, dedup_key, output, analyser, model, created_at, fresh_until,
               current)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (tenant, kind, dedup_key) WHERE current = 1 DO NOTHING RETURNING n",
        )?
        .query_row(
            params![
                job.n,
                job.run.tenant,
                job.kind,
                job.dedup_key,
                done.output.get(),
                done.analyser,
                done.model,
                now,
                job.fresh_for.map(|time| now.saturating_add(time)),
                // What stands in is never the key's.
                done.stand_in.is_none(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(result) = result {
        let mut insert =
            connection.prepare_cached("INSERT INTO facts (result, n, data) VALUES (?1, ?2, ?3)")?;
        for (n, fact) in (1_i64..).zip(&done.facts) {
            insert.execute(params![result, n, fact.to_string()])?;
        }
    }
    Ok(result)
}
