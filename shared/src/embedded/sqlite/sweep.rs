//! Finding what fell between ledger and line.

use rusqlite::{Connection, params};

use super::codes::READY;
use super::counters::Counters;
use super::fault::Result;
use super::numbers::now_ms;
use super::runs::find_run;
use super::twins::die;
use crate::domain::DeadReason;
use crate::ports::{Scope, Swept};

/// Jobs in one transaction at most; the next round takes the rest.
const ROUND: i64 = 10_000;

pub(super) const LOST: &str = "SELECT n, losses FROM jobs WHERE state = 1 AND dispatched_at <= ?1
       AND (?2 IS NULL OR run = ?2 OR EXISTS (SELECT 1 FROM jobs waiting
         WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?2
           AND waiting.twin = jobs.n))
     ORDER BY dispatched_at LIMIT ?3";

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
    let lost: Vec<(i64, u16)> = query
        .query_map(params![now.saturating_sub(older_than_ms), run, ROUND], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;

    let mut swept = Swept::default();
    let mut counters = Counters::default();
    for (n, losses) in lost {
        let lost_times = losses.saturating_add(1);
        if lost_times >= max_losses {
            swept.crash_looped += 1;
            let error = format!("its process died {lost_times} times while it ran");
            die(connection, n, DeadReason::CrashLoop, &error, now, &mut counters)?;
        } else {
            swept.requeued += 1;
            put_back(connection, n, lost_times, now)?;
        }
    }
    counters.apply(connection)?;
    Ok(swept)
}

fn put_back(connection: &Connection, n: i64, lost_times: u16, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, run_at = ?3, losses = ?4, dispatched_at = NULL WHERE n = ?1",
        )?
        .execute(params![n, READY, now, lost_times])?;
    Ok(())
}
