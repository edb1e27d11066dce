//! Cancelling: what waits ends at once, what is handed out ends with its attempt.
//!
//! States stand as literals in these statements, so that the partial indexes apply.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::{CANCELLED, RUN_RUNNING};
use super::counters::{self, Counters};
use super::fault::{Fault, Result};
use super::numbers::now_ms;
use super::twins::promote_attached;
use crate::domain::{JobId, RunId};
use crate::ports::{CancelJobs, Cancelled};

pub(super) fn cancel(connection: &Connection, tenant: &str, which: CancelJobs) -> Result<Cancelled> {
    let now = now_ms();
    match which {
        CancelJobs::Job(job) => cancel_job(connection, tenant, job, now),
        CancelJobs::Run(run) => cancel_run(connection, tenant, run, now),
    }
}

fn cancel_job(connection: &Connection, tenant: &str, id: JobId, now: i64) -> Result<Cancelled> {
    let (n, run): (i64, i64) = connection
        .prepare_cached("SELECT n, run FROM jobs WHERE id = ?1 AND tenant = ?2")?
        .query_row(params![id.as_bytes(), tenant], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Fault::NoJob(id))?;
    let mut counters = Counters::default();
    let cancelled = end_waiting(connection, n, now, &mut counters)?;
    let under_way =
        connection.execute("UPDATE jobs SET withdrawn = 1 WHERE n = ?1 AND state = 1", [n])? as u64;
    counters.of(run).cancelled += cancelled;
    counters.apply(connection)?;
    Ok(Cancelled { cancelled, under_way })
}

pub(super) fn cancel_run(connection: &Connection, tenant: &str, id: RunId, now: i64) -> Result<Cancelled> {
    let run: i64 = connection
        .prepare_cached(
            "UPDATE runs SET cancelled_at = iif(state = 2, cancelled_at, coalesce(cancelled_at, ?3)),
               state = max(state, ?4)
             WHERE id = ?1 AND tenant = ?2 RETURNING n",
        )?
        .query_row(params![id.as_bytes(), tenant, now, RUN_RUNNING], |row| row.get(0))
        .optional()?
        .ok_or(Fault::NoRun(id))?;
    let under_way =
        connection.execute("UPDATE jobs SET withdrawn = 1 WHERE run = ?1 AND state = 1", [run])? as u64;
    // The attached first: none of them is to become ready only to be cancelled next.
    let mut counters = Counters::default();
    let mut cancelled = 0;
    for waiting in
        ["SELECT n FROM jobs WHERE run = ?1 AND state = 2", "SELECT n FROM jobs WHERE run = ?1 AND state = 0"]
    {
        let jobs: Vec<i64> = connection
            .prepare_cached(waiting)?
            .query_map([run], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for n in jobs {
            cancelled += end_waiting(connection, n, now, &mut counters)?;
        }
    }
    counters.of(run).cancelled += cancelled;
    counters.apply(connection)?;
    counters::finish_run_if_done(connection, run, now)?;
    Ok(Cancelled { cancelled, under_way })
}

/// Cancels a job that is ready or attached; 1 if it was.
fn end_waiting(connection: &Connection, n: i64, now: i64, counters: &mut Counters) -> rusqlite::Result<u64> {
    let ended = connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, finished_at = ?3, twin = NULL, twin_elsewhere = 0
             WHERE n = ?1 AND state IN (0, 2)",
        )?
        .execute(params![n, CANCELLED, now])?;
    if ended > 0 {
        promote_attached(connection, n, now, counters)?;
    }
    Ok(ended as u64)
}
