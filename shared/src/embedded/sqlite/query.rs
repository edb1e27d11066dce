//! What people and reports read.

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use serde_json::Value;
use serde_json::value::RawValue;

use super::codes::{dead_reason, job_code, job_state, run_state};
use crate::domain::{DedupKey, JobId, RunCounts, RunId, Usage};
use crate::ports::{JobFilter, JobRow, Page, RunRow};

const RUN_COLUMNS: &str =
    "SELECT id, tenant, pipeline, input, state, settings, notes, created_at, finished_at,
    jobs, occurrences, succeeded, reused, dead, cancelled, retries, calls, input_tokens, output_tokens, n,
    cancelled_at FROM runs";

pub(super) fn runs(
    connection: &Connection,
    tenant: Option<&str>,
    page: Page,
) -> rusqlite::Result<Vec<RunRow>> {
    let before = if page.after == 0 { i64::MAX } else { page.after };
    connection
        .prepare_cached(&format!(
            "{RUN_COLUMNS} WHERE (tenant = ?2 OR ?2 IS NULL) AND n < ?3 ORDER BY n DESC LIMIT ?1"
        ))?
        .query_map(params![i64::try_from(page.limit).unwrap_or(i64::MAX), tenant, before], read_run)?
        .collect()
}

pub(super) fn run(connection: &Connection, id: RunId) -> rusqlite::Result<Option<RunRow>> {
    connection
        .prepare_cached(&format!("{RUN_COLUMNS} WHERE id = ?1"))?
        .query_row([id.as_bytes()], read_run)
        .optional()
}

fn read_run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(RunRow {
        position: row.get(19)?,
        id: RunId::from_bytes(row.get(0)?),
        tenant: row.get(1)?,
        pipeline: row.get(2)?,
        input: row.get(3)?,
        state: run_state(row.get(4)?).ok_or_else(|| unknown_code(4))?,
        settings: json(row, 5)?,
        notes: json(row, 6)?,
        created_at_ms: row.get(7)?,
        finished_at_ms: row.get(8)?,
        cancelled_at_ms: row.get(20)?,
        counts: RunCounts {
            jobs: count(9)?,
            occurrences: count(10)?,
            succeeded: count(11)?,
            reused: count(12)?,
            dead: count(13)?,
            cancelled: count(14)?,
            retries: count(15)?,
            usage: Usage { calls: count(16)?, input_tokens: count(17)?, output_tokens: count(18)? },
        },
    })
}

/// CROSS JOIN: in order of jobs, whatever the planner thinks, for a page must not need a sort.
const JOB_COLUMNS: &str = "SELECT jobs.n, jobs.id, runs.id, jobs.kind, jobs.dedup_key, jobs.state, jobs.occurrences,
      jobs.reused, maker.id, results.analyser, results.model, job_inputs.source, jobs.calls, jobs.input_tokens,
      jobs.output_tokens, jobs.attempts, jobs.error, jobs.dead_reason, jobs.result, results.output,
      (SELECT id FROM runs WHERE n = jobs.redriven_as)
    FROM jobs CROSS JOIN runs ON runs.n = jobs.run CROSS JOIN job_inputs ON job_inputs.job = jobs.n
      LEFT JOIN results ON results.n = jobs.result LEFT JOIN jobs maker ON maker.n = results.job
    WHERE jobs.n > ?1";

pub(super) fn jobs(connection: &Connection, filter: &JobFilter, page: Page) -> rusqlite::Result<Vec<JobRow>> {
    let mut statement = connection.prepare_cached(&listing(filter))?;
    let mut rows = statement.query(params![
        page.after,
        filter.run.as_ref().map(RunId::as_bytes),
        filter.job.as_ref().map(JobId::as_bytes),
        i64::try_from(page.limit).unwrap_or(i64::MAX),
        filter.tenant,
        filter.ends_in,
    ])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let mut job = read_job(row)?;
        if filter.with_results {
            read_result(connection, row, &mut job)?;
        }
        jobs.push(job);
    }
    Ok(jobs)
}

/// Conditions are added only where asked for: `?2 IS NULL OR ...` would hide the indexes.
pub(super) fn listing(filter: &JobFilter) -> String {
    let run = match filter.run {
        Some(_) => "jobs.run = (SELECT n FROM runs WHERE id = ?2)",
        None => "?2 IS NULL",
    };
    let tenant = if filter.tenant.is_some() { "jobs.tenant = ?5" } else { "?5 IS NULL" };
    let job = if filter.job.is_some() { "jobs.id = ?3" } else { "?3 IS NULL" };
    let end = if filter.ends_in.is_some() { "hex(jobs.id) LIKE '%' || ?6" } else { "?6 IS NULL" };
    // A literal, so that the partial indexes apply.
    let state = filter.state.map(|state| format!("AND jobs.state = {}", job_code(state))).unwrap_or_default();
    format!("{JOB_COLUMNS} AND {run} AND {job} AND {tenant} AND {end} {state} ORDER BY jobs.n LIMIT ?4")
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let job_id = JobId::from_bytes(row.get(1)?);
    let maker = row.get::<_, Option<[u8; 16]>>(8)?.map(JobId::from_bytes);
    Ok(JobRow {
        position: row.get(0)?,
        job_id,
        run_id: RunId::from_bytes(row.get(2)?),
        kind: row.get(3)?,
        dedup_key: DedupKey::from_bytes(row.get(4)?),
        state: job_state(row.get(5)?).ok_or_else(|| unknown_code(5))?,
        occurrences: count(6)?,
        reused: row.get(7)?,
        result_of: maker.filter(|maker| *maker != job_id),
        analyser: row.get(9)?,
        model: row.get(10)?,
        source: serde_json::from_str(row.get_ref(11)?.as_str()?).map_err(|error| bad_json(11, error))?,
        output: None,
        facts: Vec::new(),
        usage: Usage { calls: count(12)?, input_tokens: count(13)?, output_tokens: count(14)? },
        attempts: row.get(15)?,
        error: row.get(16)?,
        dead_reason: row.get::<_, Option<i64>>(17)?.and_then(dead_reason),
        sent_again_in: row.get::<_, Option<[u8; 16]>>(20)?.map(RunId::from_bytes),
    })
}

fn read_result(connection: &Connection, row: &Row<'_>, job: &mut JobRow) -> rusqlite::Result<()> {
    let Some(result) = row.get::<_, Option<i64>>(18)? else { return Ok(()) };
    job.output = Some(RawValue::from_string(row.get(19)?).map_err(|error| bad_json(19, error))?);
    let mut facts = connection.prepare_cached("SELECT data FROM facts WHERE result = ?1 ORDER BY n")?;
    let mut rows = facts.query([result])?;
    while let Some(row) = rows.next()? {
        job.facts.push(json(row, 0)?);
    }
    Ok(())
}

pub(super) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| bad_json(column, error))
}

pub(super) fn bad_json(column: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

fn unknown_code(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, "unknown state".into())
}
