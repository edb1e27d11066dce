//! Opening runs, adding jobs, sealing.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::{ATTACHED, READY, RUN_FINISHED, RUN_OPEN, RUN_RUNNING, SUCCEEDED};
use super::connection::{now_ms, to_ms};
use super::counters::{self, Counters};
use crate::domain::{JobId, NewJob, NewRun, RunId};
use crate::ports::{Added, OpenedRun, Seal};

pub(super) fn open_run(connection: &Connection, run: &NewRun) -> rusqlite::Result<OpenedRun> {
    if let Some(key) = &run.idempotency_key {
        let known = connection
            .prepare_cached(
                "SELECT id FROM runs WHERE tenant = ?1 AND idempotency_key = ?2 AND state < ?3
                 ORDER BY n DESC LIMIT 1",
            )?
            .query_row(params![run.tenant, key, RUN_FINISHED], |row| row.get::<_, [u8; 16]>(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(OpenedRun { id: RunId::from_bytes(id), resumed: true });
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO runs (id, tenant, pipeline, input, idempotency_key, settings, state, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            run.id.as_bytes(),
            run.tenant,
            run.pipeline,
            run.input,
            run.idempotency_key,
            run.settings.to_string(),
            RUN_OPEN,
            now_ms()
        ])?;
    Ok(OpenedRun { id: run.id, resumed: false })
}

/// A run as the jobs' rows need it.
#[derive(Clone)]
pub(super) struct RunRef {
    pub(super) n: i64,
    pub(super) tenant: String,
}

pub(super) fn find_run(connection: &Connection, id: RunId) -> rusqlite::Result<RunRef> {
    connection
        .prepare_cached("SELECT n, tenant FROM runs WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok(RunRef { n: row.get(0)?, tenant: row.get(1)? }))
}

pub(super) fn add_jobs(connection: &Connection, run: RunId, jobs: &[NewJob]) -> rusqlite::Result<Added> {
    let run = find_run(connection, run)?;
    let mut added = Added::default();
    let mut counters = Counters::default();
    for job in jobs {
        add_job(connection, &run, job, &mut counters, &mut added)?;
    }
    counters.apply(connection)?;
    Ok(added)
}

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
    counts.occurrences += job.occurrences;
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
    connection
        .prepare_cached("SELECT 1 FROM jobs WHERE run = ?1 AND seq = ?2")?
        .exists(params![run, seq.cast_signed()])
}

fn how_it_starts(connection: &Connection, run: &RunRef, job: &NewJob, now: i64) -> rusqlite::Result<Start> {
    let key = job.dedup_key.as_bytes();
    let result = connection
        .prepare_cached(
            "SELECT n FROM results WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND current = 1
             AND (fresh_until IS NULL OR fresh_until > ?4)",
        )?
        .query_row(params![run.tenant, job.kind, key, now], |row| row.get(0))
        .optional()?;
    if let Some(result) = result {
        return Ok(Start::Reuse { result });
    }
    let twin = connection
        .prepare_cached(
            "SELECT n, run FROM jobs WHERE tenant = ?1 AND kind = ?2 AND dedup_key = ?3 AND state IN (0, 1)",
        )?
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
            job.estimate.input_tokens.cast_signed(),
            job.estimate.output_tokens.cast_signed(),
            job.occurrences.cast_signed(),
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

pub(super) fn seal_run(connection: &Connection, run: RunId, seal: &Seal) -> rusqlite::Result<()> {
    let run = find_run(connection, run)?;
    for (seq, occurrences) in &seal.occurrences {
        connection
            .prepare_cached("UPDATE jobs SET occurrences = ?3 WHERE run = ?1 AND seq = ?2")?
            .execute(params![run.n, seq.cast_signed(), occurrences.cast_signed()])?;
    }
    if !seal.occurrences.is_empty() {
        // Set, not added: a resumed run counts its input anew.
        connection.execute(
            "UPDATE runs SET occurrences = (SELECT sum(occurrences) FROM jobs WHERE run = ?1) WHERE n = ?1",
            [run.n],
        )?;
    }
    connection.execute(
        "UPDATE runs SET notes = ?2, state = max(state, ?3) WHERE n = ?1",
        params![run.n, seal.notes.to_string(), RUN_RUNNING],
    )?;
    counters::finish_run_if_done(connection, run.n, now_ms())
}
