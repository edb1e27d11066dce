//! Single jobs in depth, and which keys have results.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::numbers::now_ms;
use super::query::bad_json;
use crate::domain::{DedupKey, JobId};
use crate::ports::{FailedAttempt, JobDetail};

pub(super) fn job_detail(connection: &Connection, job: JobId) -> rusqlite::Result<Option<JobDetail>> {
    let found = connection
        .prepare_cached("SELECT jobs.n, args FROM jobs JOIN job_inputs ON job = jobs.n WHERE id = ?1")?
        .query_row([job.as_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    let Some((n, args)) = found else { return Ok(None) };
    let args = RawValue::from_string(args).map_err(|error| bad_json(1, error))?;
    let attempts = connection
        .prepare_cached("SELECT fence, at, error FROM attempts WHERE job = ?1 ORDER BY fence")?
        .query_map([n], |row| {
            Ok(FailedAttempt {
                fence: row.get::<_, i64>(0)?.cast_unsigned(),
                at_ms: row.get(1)?,
                error: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(JobDetail { args, attempts }))
}

/// The args of a job, as they were submitted.
pub(super) fn args(connection: &Connection, job: JobId) -> rusqlite::Result<Option<Box<RawValue>>> {
    let text: Option<String> = connection
        .prepare_cached("SELECT args FROM jobs JOIN job_inputs ON job = jobs.n WHERE id = ?1")?
        .query_row([job.as_bytes()], |row| row.get(0))
        .optional()?;
    text.map(RawValue::from_string).transpose().map_err(|error| bad_json(0, error))
}

pub(super) fn have_results(
    connection: &Connection,
    tenant: &str,
    kind: &str,
    keys: &[DedupKey],
) -> rusqlite::Result<Vec<bool>> {
    let now = now_ms();
    let mut query = connection.prepare_cached(
        "SELECT 1 FROM results WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND current = 1
         AND (fresh_until IS NULL OR fresh_until > ?4)",
    )?;
    keys.iter().map(|key| query.exists(params![tenant, kind, key.as_bytes(), now])).collect()
}
