//! Recording outcomes: fenced, in groups, each in a savepoint of its own.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codes::{CANCELLED, DISPATCHED, READY, SUCCEEDED};
use super::counters::Counters;
use super::fault::is_about_the_row;
use super::numbers::{bounded_usage, now_ms, to_ms};
use super::results::{last_result, store_result};
use super::runs::RunRef;
use super::submit::add_job;
use super::twins::{die, give_to_attached, oldest_attached, promote_attached};
use crate::domain::{DeadReason, Decision, ErasedDone, Usage};
use crate::ports::{Added, Finish, Finished};
use crate::rules::old_result;

/// What the rules below need to know of a job.
pub(super) struct Target {
    pub(super) n: i64,
    pub(super) run: RunRef,
    pub(super) kind: String,
    pub(super) dedup_key: [u8; 32],
    /// Milliseconds.
    pub(super) fresh_for: Option<i64>,
    fence: i64,
    /// Cancelled while it was handed out.
    withdrawn: bool,
}

pub(super) fn finish_all(connection: &Connection, finishes: &[Finish]) -> rusqlite::Result<Vec<Finished>> {
    let now = now_ms();
    let mut counters = Counters::default();
    let mut answers = Vec::with_capacity(finishes.len());
    for finish in finishes {
        connection.prepare_cached("SAVEPOINT one")?.execute([])?;
        let mut own = Counters::default();
        let answer = finish_one(connection, finish, now, &mut own);
        if connection.is_autocommit() {
            // A full disk or an I/O error has ended the whole transaction.
            return answer.map(|_| answers);
        }
        match answer {
            Ok(answer) => {
                counters.merge(own);
                answers.push(answer);
            }
            // A full disk hurts all of them: the caller may try again when there is space.
            Err(error) if !is_about_the_row(&error) => return Err(error),
            Err(error) => {
                connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
                answers.push(Finished::Refused(error.to_string()));
            }
        }
        connection.prepare_cached("RELEASE one")?.execute([])?;
    }
    counters.apply(connection)?;
    Ok(answers)
}

fn finish_one(
    connection: &Connection,
    finish: &Finish,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<Finished> {
    let Some(job) = find_current(connection, finish)? else { return Ok(Finished::Stale) };
    record_usage(connection, &job, finish.usage, counters)?;
    apply(connection, finish, &finish.decision, &job, now, counters)?;
    Ok(Finished::Recorded)
}

fn apply(
    connection: &Connection,
    finish: &Finish,
    decision: &Decision,
    job: &Target,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    match decision {
        Decision::Succeed(done) => succeed(connection, job, done, now, counters)?,
        Decision::Retry { error, .. } if job.withdrawn => {
            counters.of(job.run.n).retries += 1;
            record_attempt(connection, job, error, now)?;
            connection
                .prepare_cached("UPDATE jobs SET attempts = attempts + 1 WHERE n = ?1")?
                .execute([job.n])?;
            cancel(connection, job, now, counters)?;
        }
        Decision::Snooze { .. } | Decision::Reuse { .. } if job.withdrawn => {
            cancel(connection, job, now, counters)?;
        }
        Decision::Reuse { why, otherwise } => match last_result(connection, job)? {
            Some((result, made_at)) => {
                let age = Duration::from_millis((now - made_at).max(0).cast_unsigned());
                let end = Success { result, counted: false, note: Some(old_result(why, age)) };
                end_well(connection, job, &end, now, counters)?;
            }
            None => apply(connection, finish, otherwise, job, now, counters)?,
        },
        Decision::Retry { delay, error } => {
            counters.of(job.run.n).retries += 1;
            record_attempt(connection, job, error, now)?;
            put_back(connection, job, now.saturating_add(to_ms(*delay)), true, error)?;
        }
        Decision::Snooze { delay, why } => {
            put_back(connection, job, now.saturating_add(to_ms(*delay)), false, why)?;
        }
        Decision::Die { reason, error } => {
            record_attempt(connection, job, error, now)?;
            // A deadline that passes while the job waits costs no attempt.
            let counted = *reason != DeadReason::DeadlinePassed || finish.usage.calls > 0;
            connection
                .prepare_cached("UPDATE jobs SET attempts = attempts + ?2 WHERE n = ?1")?
                .execute(params![job.n, counted])?;
            die(connection, job.n, *reason, error, now, counters)?;
        }
        Decision::Cancel => cancel(connection, job, now, counters)?,
        Decision::Ignore => {}
    }
    Ok(())
}

/// Ends a job without a result.
fn cancel(connection: &Connection, job: &Target, now: i64, counters: &mut Counters) -> rusqlite::Result<()> {
    counters.of(job.run.n).cancelled += 1;
    connection
        .prepare_cached("UPDATE jobs SET state = ?2, finished_at = ?3 WHERE n = ?1")?
        .execute(params![job.n, CANCELLED, now])?;
    promote_attached(connection, job.n, now, counters)?;
    Ok(())
}

/// The job, if this dispatch is the one that counts: the newest one, without an outcome so far. A
/// job that was put back by a sweep is ready again and still has the time of its dispatch.
fn find_current(connection: &Connection, finish: &Finish) -> rusqlite::Result<Option<Target>> {
    connection
        .prepare_cached(
            "SELECT n, run, tenant, kind, dedup_key, fresh_for, fence, withdrawn FROM jobs
             WHERE id = ?1 AND fence = ?2 AND state IN (?3, ?4) AND dispatched_at IS NOT NULL",
        )?
        .query_row(
            params![finish.job.as_bytes(), finish.fence.cast_signed(), READY, DISPATCHED],
            |row: &Row<'_>| {
                Ok(Target {
                    n: row.get(0)?,
                    run: RunRef { n: row.get(1)?, tenant: row.get(2)? },
                    kind: row.get(3)?,
                    dedup_key: row.get(4)?,
                    fresh_for: row.get(5)?,
                    fence: row.get(6)?,
                    withdrawn: row.get(7)?,
                })
            },
        )
        .optional()
}

fn record_usage(
    connection: &Connection,
    job: &Target,
    usage: Usage,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    if usage == Usage::default() {
        return Ok(());
    }
    let usage = bounded_usage(usage);
    counters.of(job.run.n).usage += usage;
    connection
        .prepare_cached(
            "UPDATE jobs SET calls = calls + ?2, input_tokens = input_tokens + ?3,
               output_tokens = output_tokens + ?4
             WHERE n = ?1",
        )?
        .execute(params![
            job.n,
            usage.calls.cast_signed(),
            usage.input_tokens.cast_signed(),
            usage.output_tokens.cast_signed()
        ])?;
    Ok(())
}

fn record_attempt(connection: &Connection, job: &Target, error: &str, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO attempts (job, fence, at, error) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![job.n, job.fence, now, error])?;
    Ok(())
}

fn put_back(
    connection: &Connection,
    job: &Target,
    run_at: i64,
    counted: bool,
    why: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, run_at = ?3, attempts = attempts + ?4, error = ?5, dispatched_at = NULL
             WHERE n = ?1",
        )?
        .execute(params![job.n, READY, run_at, counted, why])?;
    Ok(())
}

fn succeed(
    connection: &Connection,
    job: &Target,
    done: &ErasedDone,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    let result = store_result(connection, job, done, now)?;
    let wanted_in = if job.withdrawn { heirs_run(connection, job)? } else { Some(job.run.clone()) };
    let end = Success { result, counted: true, note: done.stand_in.clone() };
    end_well(connection, job, &end, now, counters)?;
    let Some(run) = wanted_in else { return Ok(()) };
    let mut added = Added::default();
    for follow_up in &done.follow_ups {
        add_job(connection, &run, follow_up, counters, &mut added)?;
    }
    Ok(())
}

/// The run of the oldest job that gets the result of this one: what follows from a cancelled job comes
/// there, or not at all. No job of a cancelled run is attached any more.
fn heirs_run(connection: &Connection, job: &Target) -> rusqlite::Result<Option<RunRef>> {
    let heir = oldest_attached(connection, job.n)?;
    Ok(heir.map(|(_, n)| RunRef { n, tenant: job.run.tenant.clone() }))
}

/// What a job gets that succeeds.
struct Success {
    result: i64,
    /// Whether it was the job's own attempt that brought it.
    counted: bool,
    /// Why it is not what was asked for, if it is not.
    note: Option<String>,
}

fn end_well(
    connection: &Connection,
    job: &Target,
    end: &Success,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, result = ?3, attempts = attempts + ?4, reused = NOT ?4, error = ?5,
               finished_at = ?6
             WHERE n = ?1",
        )?
        .execute(params![job.n, SUCCEEDED, end.result, end.counted, end.note, now])?;
    let counts = counters.of(job.run.n);
    counts.succeeded += 1;
    counts.reused += u64::from(!end.counted);
    give_to_attached(connection, job.n, end.result, end.note.as_deref(), now, counters)
}
