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
pub(super) const NEXT_LANE: &str =
    "SELECT upstream, run FROM jobs WHERE state = 0 AND kind = ?1 AND (upstream, run) > (?2, ?3)
     ORDER BY upstream, run LIMIT 1";
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
    let mut next = connection.prepare_cached(NEXT_LANE)?;
    let mut lanes: Vec<Lane> = Vec::new();
    loop {
        let (upstream, run) = lanes.last().map_or(("", -1), |lane| (lane.upstream.as_str(), lane.run));
        let lane = next
            .query_row(params![kind, upstream, run], |row| {
                Ok(Lane { upstream: row.get(0)?, run: row.get(1)? })
            })
            .optional()?;
        match lane {
            Some(lane) => lanes.push(lane),
            None => return Ok(lanes),
        }
    }
}

pub(super) fn lanes_of(connection: &Connection, kind: &str, run: i64) -> rusqlite::Result<Vec<Lane>> {
    let mut next = connection.prepare_cached(NEXT_UPSTREAM)?;
    // '' sorts first and is a name of its own: no upstream.
    let mut lanes = vec![Lane { upstream: String::new(), run }];
    loop {
        let last = &lanes[lanes.len() - 1].upstream;
        let upstream = next.query_row(params![kind, last], |row| row.get(0)).optional()?;
        match upstream {
            Some(upstream) => lanes.push(Lane { run, upstream }),
            None => return Ok(lanes),
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
