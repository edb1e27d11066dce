//! Runs: opening, finding, sealing.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::{RUN_FINISHED, RUN_OPEN, RUN_RUNNING};
use super::counters;
use super::fault::{Fault, Result};
use super::numbers::{bounded, now_ms};
use crate::domain::{NewRun, RunId};
use crate::ports::{OpenedRun, Seal};

pub(super) fn open_run(connection: &Connection, run: &NewRun) -> rusqlite::Result<OpenedRun> {
    if let Some(key) = &run.idempotency_key
        && let Some(id) = run_of_key(connection, &run.tenant, key, run.once)?
    {
        // It has a reader again.
        connection
            .prepare_cached("UPDATE runs SET read_at = ?2 WHERE id = ?1")?
            .execute(params![id.as_bytes(), now_ms()])?;
        return Ok(OpenedRun { id, resumed: true });
    }
    insert_run(connection, run)?;
    Ok(OpenedRun { id: run.id, resumed: false })
}

/// The newest run with this key: one that still takes jobs, or any.
pub(super) fn run_of_key(
    connection: &Connection,
    tenant: &str,
    key: &str,
    also_ended: bool,
) -> rusqlite::Result<Option<RunId>> {
    let known = connection
        .prepare_cached(
            "SELECT id FROM runs
             WHERE tenant = ?1 AND idempotency_key = ?2 AND (state < ?3 AND cancelled_at IS NULL OR ?4)
             ORDER BY n DESC LIMIT 1",
        )?
        .query_row(params![tenant, key, RUN_FINISHED, also_ended], |row| row.get(0))
        .optional()?;
    Ok(known.map(RunId::from_bytes))
}

pub(super) fn insert_run(connection: &Connection, run: &NewRun) -> rusqlite::Result<()> {
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
    Ok(())
}

/// A run as the jobs' rows need it.
#[derive(Clone)]
pub(super) struct RunRef {
    pub(super) n: i64,
    pub(super) tenant: String,
}

pub(super) fn find_run(connection: &Connection, id: RunId) -> Result<RunRef> {
    connection
        .prepare_cached("SELECT n, tenant FROM runs WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok(RunRef { n: row.get(0)?, tenant: row.get(1)? }))
        .optional()?
        .ok_or(Fault::NoRun(id))
}

/// Whether the run takes more jobs: it is neither finished nor cancelled.
pub(super) fn takes_jobs(connection: &Connection, run: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM runs WHERE n = ?1 AND state <> ?2 AND cancelled_at IS NULL")?
        .exists(params![run, RUN_FINISHED])
}

pub(super) const OCCURRENCES_OF_RUN: &str =
    "UPDATE runs SET occurrences = (SELECT coalesce(sum(occurrences), 0) FROM jobs WHERE run = ?1)
     WHERE n = ?1";

pub(super) fn seal_run(connection: &Connection, run: RunId, seal: &Seal) -> Result<()> {
    let run = find_run(connection, run)?;
    for (seq, occurrences) in &seal.occurrences {
        connection
            .prepare_cached("UPDATE jobs SET occurrences = ?3 WHERE run = ?1 AND seq = ?2")?
            .execute(params![run.n, seq.cast_signed(), bounded(*occurrences).cast_signed()])?;
    }
    if !seal.occurrences.is_empty() {
        // Set, not added: a resumed run counts its input anew.
        connection.execute(OCCURRENCES_OF_RUN, [run.n])?;
    }
    connection.execute(
        "UPDATE runs SET notes = ?2, state = max(state, ?3) WHERE n = ?1",
        params![run.n, seal.notes.to_string(), RUN_RUNNING],
    )?;
    counters::finish_run_if_done(connection, run.n, now_ms())?;
    Ok(())
}
