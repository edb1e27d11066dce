//! Runs whose input is read, and those whose reader is gone.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::cancel::cancel_run;
use super::codes::RUN_RUNNING;
use super::counters;
use super::fault::Result;
use super::numbers::{now_ms, to_ms};
use crate::domain::{IfLeft, RunId};
use crate::rules::notes_of_left;

pub(super) fn still_reading(connection: &Connection, run: RunId, if_left: IfLeft) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE runs SET read_at = ?2, if_left = ?3 WHERE id = ?1 AND state = 0")?
        .execute(params![run.as_bytes(), now_ms(), code(if_left)])?;
    Ok(())
}

fn code(if_left: IfLeft) -> i64 {
    match if_left {
        IfLeft::Sealed => 0,
        IfLeft::Cancelled => 1,
    }
}

pub(super) const LEFT: &str = "SELECT n, id, tenant FROM runs
     WHERE state < 2 AND state = 0 AND coalesce(read_at, created_at) <= ?1 AND if_left = ?2";

pub(super) fn end_left(connection: &Connection, silent_for: Duration) -> Result<u64> {
    let now = now_ms();
    let mut ended = 0;
    for if_left in [IfLeft::Sealed, IfLeft::Cancelled] {
        let left: Vec<(i64, RunId, String)> = connection
            .prepare_cached(LEFT)?
            .query_map(params![now.saturating_sub(to_ms(silent_for)), code(if_left)], |row| {
                Ok((row.get(0)?, RunId::from_bytes(row.get(1)?), row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (n, id, tenant) in left {
            connection
                .prepare_cached(
                    "UPDATE runs SET state = ?2, notes = ?3, idempotency_key = NULL WHERE n = ?1",
                )?
                .execute(params![n, RUN_RUNNING, notes_of_left(silent_for, if_left).to_string()])?;
            match if_left {
                IfLeft::Sealed => counters::finish_run_if_done(connection, n, now)?,
                IfLeft::Cancelled => drop(cancel_run(connection, &tenant, id, now)?),
            }
            ended += 1;
        }
    }
    Ok(ended)
}
