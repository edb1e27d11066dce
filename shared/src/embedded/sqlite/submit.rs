//! Adding jobs: each becomes ready, reuses a result, or attaches to its live twin.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::codes::{ATTACHED, READY, SUCCEEDED};
use super::counters::Counters;
use super::fault::{Fault, Result};
use super::numbers::{bounded, now_ms, to_ms};
use super::runs::{RunRef, find_run, open_run, seal_run, takes_jobs};
use crate::domain::{JobId, NewJob, NewRun, RunId};
use crate::ports::{Added, OpenedRun, Seal};

pub(super) fn add_jobs(connection: &Connection, id: RunId, jobs: &[NewJob]) -> Result<Added> {
    let run = find_run(connection, id)?;
    let mut added = Added::default();
    let mut counters = Counters::default();
    for job in jobs {
        add_job(connection, &run, job, &mut counters, &mut added)?;
    }
    if added.known < jobs.len() as u64 && !takes_jobs(connection, run.n)? {
        return Err(Fault::RunClosed(id));
    }
    counters.apply(connection)?;
    Ok(added)
}

/// The whole run at once, unless it is there already.
pub(super) fn submit_run(
    connection: &Connection,
    run: &NewRun,
    jobs: &[NewJob],
    notes: Value,
) -> Result<OpenedRun> {
    let opened = open_run(connection, run)?;
    if !opened.resumed {
        add_jobs(connection, opened.id, jobs)?;
        seal_run(connection, opened.id, &Seal { occurrences: Vec::new(), notes })?;
    }
    Ok(opened)
}

pub(super) const KNOWN: &str = "SELECT 1 FROM jobs WHERE run = ?1 AND seq = ?2";
pub(super) const FRESH_RESULT: &str =
    "SELECT n FROM results WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND current = 1
       AND (fresh_until IS NULL OR fresh_until > ?4)";
pub(super) const LIVE_TWIN: &str =
    "SELECT n, run FROM jobs WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3
       AND finished_at IS NULL AND twin IS NULL";

/// How a new job starts its life.
enum Start {
    Ready,
    Reuse { result: i64 },
    Attach { twin: i64, elsewhere: bool },
}

/// Inserts one job. Reuse and attachment are decided in the same transaction that inserts it, so
/// two submissions of one key cannot both become ready.
pub(super) fn add_job(
    connection: &Connection,
    run: &RunRef,
    job: &NewJob,
    counters: &mut Counters,
    added: &mut Added,
) -> rusqlite::Result<()> {
    if is_known(connection, run.n, job.seq)? {
        added.known += 1;
        return Ok(());
    }
    let now = now_ms();
    let start = how_it_starts(connection, run, job, now)?;
    insert(connection, run, job, &start, now)?;

    let counts = counters.of(run.n);
    counts.jobs += 1;
    counts.occurrences += bounded(job.occurrences);
    match start {
        Start::Ready => added.ready += 1,
        Start::Attach { .. } => added.attached += 1,
        Start::Reuse { .. } => {
            added.reused += 1;
            counts.succeeded += 1;
            counts.reused += 1;
        }
    }
    Ok(())
}

fn is_known(connection: &Connection, run: i64, seq: Option<u64>) -> rusqlite::Result<bool> {
    let Some(seq) = seq else { return Ok(false) };
    connection.prepare_cached(KNOWN)?.exists(params![run, seq.cast_signed()])
}

fn how_it_starts(connection: &Connection, run: &RunRef, job: &NewJob, now: i64) -> rusqlite::Result<Start> {
    let key = job.dedup_key.as_bytes();
    let result = connection
        .prepare_cached(FRESH_RESULT)?
        .query_row(params![run.tenant, job.kind, key, now], |row| row.get(0))
        .optional()?;
    if let Some(result) = result {
        return Ok(Start::Reuse { result });
    }
    let twin = connection
        .prepare_cached(LIVE_TWIN)?
        .query_row(params![run.tenant, job.kind, key], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    Ok(match twin {
        Some((twin, of_run)) => Start::Attach { twin, elsewhere: of_run != run.n },
        None => Start::Ready,
    })
}

fn insert(
    connection: &Connection,
    run: &RunRef,
    job: &NewJob,
    start: &Start,
    now: i64,
) -> rusqlite::Result<()> {
    let (state, twin, elsewhere, result) = match *start {
        Start::Ready => (READY, None, false, None),
        Start::Attach { twin, elsewhere } => (ATTACHED, Some(twin), elsewhere, None),
        Start::Reuse { result } => (SUCCEEDED, None, false, Some(result)),
    };
    connection
        .prepare_cached(
            "INSERT INTO jobs (id, run, seq, tenant, kind, dedup_key, priority, upstream, est_input,
               est_output, occurrences, state, max_attempts, run_at, deadline, fresh_for, twin,
               twin_elsewhere, result, reused, created_at, finished_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
               ?19, ?20, ?21, ?22)",
        )?
        .execute(params![
            JobId::new().as_bytes(),
            run.n,
            job.seq.map(u64::cast_signed),
            run.tenant,
            job.kind,
            job.dedup_key.as_bytes(),
            job.priority,
            job.upstream.as_deref().unwrap_or_default(),
            bounded(job.estimate.input_tokens).cast_signed(),
            bounded(job.estimate.output_tokens).cast_signed(),
            bounded(job.occurrences).cast_signed(),
            state,
            job.max_attempts,
            now,
            job.deadline.map(|time| now.saturating_add(to_ms(time))),
            job.fresh_for.map(to_ms),
            twin,
            elsewhere,
            result,
            result.is_some(),
            now,
            result.is_some().then_some(now),
        ])?;
    let source = serde_json::to_string(&job.source)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached("INSERT INTO job_inputs (job, args, source) VALUES (?1, ?2, ?3)")?
        .execute(params![connection.last_insert_rowid(), job.args.get(), source])?;
    Ok(())
}
