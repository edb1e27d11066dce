//! When the next job that is not due yet will be.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Result;
use super::lanes::{all_lanes, lanes_of, next_due_of_lane};
use super::numbers::now_ms;
use super::runs::find_run;
use crate::ports::Scope;

pub(super) const NEXT_KIND: &str =
    "SELECT kind FROM jobs WHERE state = 0 AND kind > ?1 ORDER BY kind LIMIT 1";
pub(super) const TWIN_DUE: &str =
    "SELECT min(twin.run_at) FROM jobs waiting CROSS JOIN jobs twin ON twin.n = waiting.twin
     WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?1
       AND twin.state = 0 AND twin.run_at > ?2";

/// Milliseconds from now.
pub(super) fn next_due(connection: &Connection, scope: Scope) -> Result<Option<i64>> {
    let now = now_ms();
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run)?.n),
    };
    let mut soonest = match run {
        None => None,
        Some(run) => connection.prepare_cached(TWIN_DUE)?.query_row([run, now], |row| row.get(0))?,
    };
    let mut kind = String::new();
    while let Some(next) = next_kind(connection, &kind)? {
        kind = next;
        let lanes = match run {
            None => all_lanes(connection, &kind)?,
            Some(run) => lanes_of(connection, &kind, run)?,
        };
        for lane in lanes {
            let at = next_due_of_lane(connection, &kind, &lane, now)?;
            soonest = soonest.into_iter().chain(at).min();
        }
    }
    Ok(soonest.map(|at| (at - now).max(0)))
}

fn next_kind(connection: &Connection, after: &str) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached(NEXT_KIND)?.query_row(params![after], |row| row.get(0)).optional()
}
