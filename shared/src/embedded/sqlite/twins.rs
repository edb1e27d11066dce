//! Twins: jobs of one key, of which one is live and the others are attached to it.
//!
//! States stand as literals in these statements, so that the partial indexes apply.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::{DEAD, READY, SUCCEEDED, reason_code};
use super::counters::Counters;
use super::dispatch::LATE;
use crate::domain::DeadReason;

pub(super) const GIVE_TO_ATTACHED: &str =
    "UPDATE jobs SET state = ?2, result = ?3, reused = 1, twin = NULL, finished_at = ?4, error = ?5
     WHERE twin = ?1 AND state = 2 RETURNING run";
const PARK: &str = "UPDATE jobs SET state = ?2, dead_reason = ?3, error = ?4, finished_at = ?5
     WHERE n = ?1 RETURNING run";
pub(super) const PARK_ATTACHED: &str =
    "UPDATE jobs SET state = ?2, dead_reason = ?3, error = ?4, finished_at = ?5, twin = NULL
     WHERE twin = ?1 AND state = 2 RETURNING run";
pub(super) const PARK_LATE: &str =
    "UPDATE jobs SET state = ?2, dead_reason = ?3, error = ?4, finished_at = ?5, twin = NULL
     WHERE twin = ?1 AND state = 2 AND deadline <= ?5 RETURNING run";
pub(super) const OLDEST_ATTACHED: &str =
    "SELECT n, run FROM jobs WHERE twin = ?1 AND state = 2 ORDER BY n LIMIT 1";
pub(super) const REATTACH: &str =
    "UPDATE jobs SET twin = ?2, twin_elsewhere = (run <> ?3) WHERE twin = ?1 AND state = 2";

/// Every job attached to the twin succeeds with its result, and with what is to be said about it.
pub(super) fn give_to_attached(
    connection: &Connection,
    twin: i64,
    result: i64,
    note: Option<&str>,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(GIVE_TO_ATTACHED)?;
    let runs = update.query_map(params![twin, SUCCEEDED, result, now, note], |row| row.get(0))?;
    for run in runs {
        let counts = counters.of(run?);
        counts.succeeded += 1;
        counts.reused += 1;
    }
    Ok(())
}

/// Parks a job. What waits for it takes its place, except where the request itself can never
/// work: then those who asked for the same thing share its fate instead of paying for it again. Answers how
/// many were [too late](promote_attached).
pub(super) fn die(
    connection: &Connection,
    n: i64,
    reason: DeadReason,
    error: &str,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<u64> {
    let hopeless = matches!(reason, DeadReason::Permanent | DeadReason::BadPayload);
    let attached = hopeless.then_some(PARK_ATTACHED);
    for sql in std::iter::once(PARK).chain(attached) {
        park(connection, sql, n, reason, error, now, counters)?;
    }
    promote_attached(connection, n, now, counters)
}

/// How many.
fn park(
    connection: &Connection,
    sql: &str,
    n: i64,
    reason: DeadReason,
    error: &str,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<u64> {
    let mut park = connection.prepare_cached(sql)?;
    let mut parked = 0;
    for run in park.query_map(params![n, DEAD, reason_code(reason), error, now], |row| row.get(0))? {
        counters.of(run?).dead += 1;
        parked += 1;
    }
    Ok(parked)
}

/// The oldest attached job and its run.
pub(super) fn oldest_attached(connection: &Connection, twin: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached(OLDEST_ATTACHED)?
        .query_row([twin], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// The oldest attached job that is not too late takes the place of its twin; the others wait for it. Those that
/// are too late die. Answers how many.
pub(super) fn promote_attached(
    connection: &Connection,
    twin: i64,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<u64> {
    let late = park(connection, PARK_LATE, twin, DeadReason::DeadlinePassed, LATE, now, counters)?;
    let Some((heir, run)) = oldest_attached(connection, twin)? else { return Ok(late) };
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, run_at = ?3, twin = NULL, twin_elsewhere = 0 WHERE n = ?1",
        )?
        .execute(params![heir, READY, now])?;
    connection.prepare_cached(REATTACH)?.execute([twin, heir, run])?;
    Ok(late)
}
