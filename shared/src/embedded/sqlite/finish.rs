//! Recording outcomes: fenced, in groups, each in a savepoint of its own.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codes::{ATTACHED, CANCELLED, DEAD, DISPATCHED, READY, SUCCEEDED, reason_code};
use super::connection::{now_ms, to_ms};
use super::counters::Counters;
use super::submit::{RunRef, add_job};
use crate::domain::{DeadReason, Decision, ErasedDone, Usage};
use crate::ports::{Added, Finish, Finished};

/// What the rules below need to know of a job.
struct Target {
    n: i64,
    run: RunRef,
    kind: String,
    dedup_key: [u8; 32],
    fresh_for: Option<i64>,
    fence: i64,
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
    match &finish.decision {
        Decision::Succeed(done) => succeed(connection, &job, done, now, counters)?,
        Decision::Retry { delay, error } => {
            counters.of(job.run.n).retries += 1;
            record_attempt(connection, &job, error, now)?;
            put_back(connection, &job, now.saturating_add(to_ms(*delay)), true, error)?;
        }
        Decision::Snooze { delay, why } => {
            put_back(connection, &job, now.saturating_add(to_ms(*delay)), false, why)?;
        }
        Decision::Die { reason, error } => {
            record_attempt(connection, &job, error, now)?;
            connection
                .prepare_cached("UPDATE jobs SET attempts = attempts + 1 WHERE n = ?1")?
                .execute([job.n])?;
            die(connection, job.n, *reason, error, now, counters)?;
        }
        Decision::Cancel => {
            counters.of(job.run.n).cancelled += 1;
            connection
                .prepare_cached("UPDATE jobs SET state = ?2, finished_at = ?3 WHERE n = ?1")?
                .execute(params![job.n, CANCELLED, now])?;
            promote_attached(connection, job.n, now)?;
        }
        Decision::Ignore => {}
    }
    Ok(Finished::Recorded)
}

/// The job, if this dispatch is the one that counts.
fn find_current(connection: &Connection, finish: &Finish) -> rusqlite::Result<Option<Target>> {
    connection
        .prepare_cached(
            "SELECT n, run, tenant, kind, dedup_key, fresh_for, fence FROM jobs
             WHERE id = ?1 AND fence = ?2 AND state = ?3",
        )?
        .query_row(params![finish.job.as_bytes(), finish.fence.cast_signed(), DISPATCHED], |row: &Row<'_>| {
            Ok(Target {
                n: row.get(0)?,
                run: RunRef { n: row.get(1)?, tenant: row.get(2)? },
                kind: row.get(3)?,
                dedup_key: row.get(4)?,
                fresh_for: row.get(5)?,
                fence: row.get(6)?,
            })
        })
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
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, result = ?3, attempts = attempts + 1, error = NULL, finished_at = ?4
             WHERE n = ?1",
        )?
        .execute(params![job.n, SUCCEEDED, result, now])?;
    counters.of(job.run.n).succeeded += 1;
    give_to_attached(connection, job.n, result, now, counters)?;

    let mut added = Added::default();
    for follow_up in &done.follow_ups {
        add_job(connection, &job.run, follow_up, counters, &mut added)?;
    }
    Ok(())
}

/// Stores the result, or finds the one that another attempt of the same key has stored.
fn store_result(connection: &Connection, job: &Target, done: &ErasedDone, now: i64) -> rusqlite::Result<i64> {
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
            "INSERT INTO results (job, tenant, kind, dedup_key, output, analyser, model, created_at, fresh_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
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

fn give_to_attached(
    connection: &Connection,
    twin: i64,
    result: i64,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE jobs SET state = ?2, result = ?3, reused = 1, twin = NULL, finished_at = ?4
         WHERE twin = ?1 AND state = ?5 RETURNING run",
    )?;
    let runs = update.query_map(params![twin, SUCCEEDED, result, now, ATTACHED], |row| row.get(0))?;
    for run in runs {
        let counts = counters.of(run?);
        counts.succeeded += 1;
        counts.reused += 1;
    }
    Ok(())
}

/// Parks a job. What waits for it takes its place, except where the request itself can never
/// work: then those who asked for the same thing share its fate instead of paying for it again.
pub(super) fn die(
    connection: &Connection,
    n: i64,
    reason: DeadReason,
    error: &str,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    let mut park = connection.prepare_cached(
        "UPDATE jobs SET state = ?2, dead_reason = ?3, error = ?4, twin = NULL, finished_at = ?5
         WHERE n = ?1 OR (twin = ?1 AND state = ?6 AND ?7) RETURNING run",
    )?;
    let hopeless = matches!(reason, DeadReason::Permanent | DeadReason::BadPayload);
    let parked = park
        .query_map(params![n, DEAD, reason_code(reason), error, now, ATTACHED, hopeless], |row| row.get(0))?;
    for run in parked {
        counters.of(run?).dead += 1;
    }
    promote_attached(connection, n, now)
}

/// The oldest attached job takes the place of its twin; the others wait for it.
fn promote_attached(connection: &Connection, twin: i64, now: i64) -> rusqlite::Result<()> {
    let oldest = connection
        .prepare_cached("SELECT n, run FROM jobs WHERE twin = ?1 AND state = ?2 ORDER BY n LIMIT 1")?
        .query_row(params![twin, ATTACHED], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((heir, run)) = oldest else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, run_at = ?3, twin = NULL, twin_elsewhere = 0 WHERE n = ?1",
        )?
        .execute(params![heir, READY, now])?;
    connection
        .prepare_cached(
            "UPDATE jobs SET twin = ?2, twin_elsewhere = (run <> ?3) WHERE twin = ?1 AND state = ?4",
        )?
        .execute(params![twin, heir, run, ATTACHED])?;
    Ok(())
}
