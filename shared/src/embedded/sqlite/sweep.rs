//! Finding what fell between ledger and line.

use rusqlite::{Connection, params};

use super::codes::{DISPATCHED, READY};
use super::connection::now_ms;
use super::counters::Counters;
use super::finish::die;
use super::submit::find_run;
use crate::domain::DeadReason;
use crate::ports::{Scope, Swept};

/// Jobs in one transaction at most; the next round takes the rest.
const ROUND: i64 = 10_000;

pub(super) fn sweep(
    connection: &Connection,
    scope: Scope,
    older_than_ms: i64,
    max_losses: u16,
) -> rusqlite::Result<Swept> {
    let now = now_ms();
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run)?.n),
    };
    let mut query = connection.prepare_cached(
        "SELECT n, losses FROM jobs WHERE state = ?1 AND dispatched_at <= ?2 AND (?3 IS NULL OR run = ?3)
         ORDER BY dispatched_at LIMIT ?4",
    )?;
    let lost: Vec<(i64, u16)> = query
        .query_map(params![DISPATCHED, now.saturating_sub(older_than_ms), run, ROUND], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;

    let mut swept = Swept::default();
    let mut counters = Counters::default();
    for (n, losses) in lost {
        if losses + 1 >= max_losses {
            swept.crash_looped += 1;
            let error = format!("its process died {max_losses} times while it ran");
            die(connection, n, DeadReason::CrashLoop, &error, now, &mut counters)?;
        } else {
            swept.requeued += 1;
            connection
                .prepare_cached(
                    "UPDATE jobs SET state = ?2, run_at = ?3, losses = losses + 1, dispatched_at = NULL
                     WHERE n = ?1",
                )?
                .execute(params![n, READY, now])?;
        }
    }
    counters.apply(connection)?;
    Ok(swept)
}
