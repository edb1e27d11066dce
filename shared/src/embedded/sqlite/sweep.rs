//! Finding what fell between ledger and line.

use rusqlite::{Connection, params};

use super::codes::{CANCELLED, READY};
use super::counters::Counters;
use super::dispatch::LATE;
use super::fault::Result;
use super::numbers::now_ms;
use super::runs::find_run;
use super::twins::{die, promote_attached};
use crate::domain::DeadReason;
use crate::ports::{Scope, Swept};

/// Jobs in one transaction at most; the next round takes the rest.
const ROUND: i64 = 10_000;

pub(super) const LOST: &str =
    "SELECT n, losses, withdrawn, run FROM jobs WHERE state = 1 AND dispatched_at <= ?1
       AND (?2 IS NULL OR run = ?2 OR EXISTS (SELECT 1 FROM jobs waiting
         WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?2
           AND waiting.twin = jobs.n))
     ORDER BY dispatched_at LIMIT ?3";

/// Jobs that nobody may hand out are not found by a dispatch.
pub(super) const EXPIRED: &str =
    "SELECT n FROM jobs WHERE state = 0 AND deadline <= ?1 AND (?2 IS NULL OR run = ?2)
     ORDER BY deadline LIMIT ?3";

pub(super) fn sweep(
    connection: &Connection,
    scope: Scope,
    older_than_ms: i64,
    max_losses: u16,
) -> Result<Swept> {
    let now = now_ms();
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run)?.n),
    };
    let mut query = connection.prepare_cached(LOST)?;
    let lost: Vec<Lost> = query
        .query_map(params![now.saturating_sub(older_than_ms), run, ROUND], |row| {
            Ok(Lost { n: row.get(0)?, losses: row.get(1)?, withdrawn: row.get(2)?, run: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;

    let mut counters = Counters::default();
    // Before any is put back: the outcome of one that was lost counts for a while.
    let mut swept = Swept { expired: expire(connection, run, now, &mut counters)?, ..Swept::default() };
    for Lost { n, losses, withdrawn, run } in lost {
        let lost_times = losses.saturating_add(1);
        if withdrawn {
            counters.of(run).cancelled += 1;
            swept.expired += end(connection, n, now, &mut counters)?;
        } else if lost_times >= max_losses {
            swept.crash_looped += 1;
            let error = format!("its process died {lost_times} times while it ran");
            swept.expired += die(connection, n, DeadReason::CrashLoop, &error, now, &mut counters)?;
        } else {
            swept.requeued += 1;
            put_back(connection, n, lost_times, now)?;
        }
    }
    counters.apply(connection)?;
    Ok(swept)
}

/// How many.
fn expire(connection: &Connection, run: Option<i64>, now: i64, counters: &mut Counters) -> Result<u64> {
    let expired: Vec<i64> = connection
        .prepare_cached(EXPIRED)?
        .query_map(params![now, run, ROUND], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut count = expired.len() as u64;
    for n in &expired {
        count += die(connection, *n, DeadReason::DeadlinePassed, LATE, now, counters)?;
    }
    Ok(count)
}

/// A job that was handed out too long ago.
struct Lost {
    n: i64,
    losses: u16,
    withdrawn: bool,
    run: i64,
}

/// Cancelled while it was handed out: it is not handed out again. Answers how many that waited for it were too late.
fn end(connection: &Connection, n: i64, now: i64, counters: &mut Counters) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("UPDATE jobs SET state = ?2, finished_at = ?3 WHERE n = ?1")?
        .execute(params![n, CANCELLED, now])?;
    promote_attached(connection, n, now, counters)
}

/// Ready, but with the time of its dispatch: an outcome that comes late still counts.
fn put_back(connection: &Connection, n: i64, lost_times: u16, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET state = ?2, run_at = ?3, losses = ?4 WHERE n = ?1")?
        .execute(params![n, READY, now, lost_times])?;
    Ok(())
}
