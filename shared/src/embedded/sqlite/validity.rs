//! Whether a dispatch still counts.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::DISPATCHED;
use super::numbers::now_ms;
use crate::domain::JobId;
use crate::ports::Validity;

/// The answers, in the order of the dispatches, and whether one that counts is of before
/// `renew_after_ms`.
pub(super) fn of_all(
    connection: &Connection,
    dispatches: &[(JobId, u64)],
    renew_after_ms: i64,
) -> rusqlite::Result<(Vec<Validity>, bool)> {
    let mut query = connection.prepare_cached(
        "SELECT withdrawn, dispatched_at, deadline FROM jobs WHERE id = ?1 AND fence = ?2 AND state = ?3",
    )?;
    let now = now_ms();
    let old = now.saturating_sub(renew_after_ms);
    let mut waited = false;
    let answers = dispatches.iter().map(|(job, fence)| {
        let found: Option<(bool, i64, Option<i64>)> = query
            .query_row(params![job.as_bytes(), fence.cast_signed(), DISPATCHED], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        waited |= found.is_some_and(|(_, dispatched_at, _)| dispatched_at <= old);
        Ok(match found {
            None => Validity::Stale,
            Some((true, ..)) => Validity::Withdrawn,
            Some((_, _, Some(deadline))) if deadline <= now => Validity::Expired,
            Some(_) => Validity::Current,
        })
    });
    let answers = answers.collect::<rusqlite::Result<_>>()?;
    Ok((answers, waited))
}

/// The answers, after those that waited for so long were dispatched now, so to speak.
pub(super) fn begin_anew(
    connection: &Connection,
    dispatches: &[(JobId, u64)],
    renew_after_ms: i64,
) -> rusqlite::Result<Vec<Validity>> {
    let mut renew = connection.prepare_cached(
        "UPDATE jobs SET dispatched_at = ?4
         WHERE id = ?1 AND fence = ?2 AND state = ?3 AND dispatched_at <= ?5",
    )?;
    let now = now_ms();
    let old = now.saturating_sub(renew_after_ms);
    for (job, fence) in dispatches {
        renew.execute(params![job.as_bytes(), fence.cast_signed(), DISPATCHED, now, old])?;
    }
    Ok(of_all(connection, dispatches, renew_after_ms)?.0)
}
