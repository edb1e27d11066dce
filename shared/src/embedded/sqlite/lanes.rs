//! Lanes: one run's ready jobs of one kind and one upstream.
//!
//! They are found by probing the index `jobs_ready` for its next distinct value, so the cost
//! depends on the number of lanes and of jobs taken, never on the length of the backlog. The
//! state stands as a literal in these statements, so that the partial index applies.

use rusqlite::{Connection, OptionalExtension, params};

/// In order of runs, then of upstreams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) run: i64,
    pub(super) upstream: String,
}

pub(super) const DUE: &str = "SELECT n FROM jobs WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run = ?3
       AND priority = ?4 AND run_at <= ?5
     ORDER BY run_at, n LIMIT ?6";
pub(super) const NEXT_PRIORITY: &str =
    "SELECT priority FROM jobs WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run = ?3
       AND priority < ?4
     ORDER BY priority DESC LIMIT 1";
// Not `(upstream, run) > (?, ?)`: SQLite seeks by the first of the two only, and walks the rest.
pub(super) const NEXT_RUN: &str =
    "SELECT run FROM jobs WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run > ?3 ORDER BY run LIMIT 1";
pub(super) const NEXT_UPSTREAM: &str =
    "SELECT upstream FROM jobs WHERE state = 0 AND kind = ?1 AND upstream > ?2 ORDER BY upstream LIMIT 1";
pub(super) const NOT_DUE: &str =
    "SELECT run_at FROM jobs WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run = ?3
       AND priority = ?4 AND run_at > ?5
     ORDER BY run_at LIMIT 1";

/// Due jobs of a lane, highest priority first, then first come first served.
pub(super) fn take_from_lane(
    connection: &Connection,
    kind: &str,
    lane: &Lane,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    let mut taken = Vec::new();
    let mut priority = next_priority(connection, kind, lane, i64::MAX)?;
    while let Some(level) = priority
        && taken.len() < limit
    {
        let mut due = connection.prepare_cached(DUE)?;
        let rest = i64::try_from(limit - taken.len()).unwrap_or(i64::MAX);
        let rows =
            due.query_map(params![kind, lane.upstream, lane.run, level, now, rest], |row| row.get(0))?;
        for n in rows {
            taken.push(n?);
        }
        priority = next_priority(connection, kind, lane, level)?;
    }
    Ok(taken)
}

fn next_priority(
    connection: &Connection,
    kind: &str,
    lane: &Lane,
    below: i64,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(NEXT_PRIORITY)?
        .query_row(params![kind, lane.upstream, lane.run, below], |row| row.get(0))
        .optional()
}

pub(super) fn all_lanes(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<Lane>> {
    let mut next = connection.prepare_cached(NEXT_RUN)?;
    let mut lanes = Vec::new();
    for upstream in upstreams(connection, kind)? {
        let mut run: i64 = 0;
        while let Some(later) = next.query_row(params![kind, upstream, run], |row| row.get(0)).optional()? {
            run = later;
            lanes.push(Lane { run, upstream: upstream.clone() });
        }
    }
    Ok(lanes)
}

pub(super) fn lanes_of(connection: &Connection, kind: &str, run: i64) -> rusqlite::Result<Vec<Lane>> {
    Ok(upstreams(connection, kind)?.into_iter().map(|upstream| Lane { run, upstream }).collect())
}

fn upstreams(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<String>> {
    let mut next = connection.prepare_cached(NEXT_UPSTREAM)?;
    // '' sorts first and is a name of its own: no upstream.
    let mut upstreams = vec![String::new()];
    loop {
        let last = &upstreams[upstreams.len() - 1];
        match next.query_row(params![kind, last], |row| row.get(0)).optional()? {
            Some(upstream) => upstreams.push(upstream),
            None => return Ok(upstreams),
        }
    }
}

/// When the lane's next job that is not due yet will be.
pub(super) fn next_due_of_lane(
    connection: &Connection,
    kind: &str,
    lane: &Lane,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut soonest = None;
    let mut priority = next_priority(connection, kind, lane, i64::MAX)?;
    while let Some(level) = priority {
        let at = connection
            .prepare_cached(NOT_DUE)?
            .query_row(params![kind, lane.upstream, lane.run, level, now], |row| row.get(0))
            .optional()?;
        soonest = soonest.into_iter().chain(at).min();
        priority = next_priority(connection, kind, lane, level)?;
    }
    Ok(soonest)
}
