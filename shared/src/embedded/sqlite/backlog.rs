//! How much waits, and how one job stands.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::codes::job_state;
use super::numbers::now_ms;
use crate::domain::{DedupKey, Estimate, JobId, JobState, RunId};
use crate::ports::{Backlog, JobStanding};

/// The states stand as literals, so that their partial indexes are walked and not the table. The mean is
/// one over the first of the lanes' jobs, since it is no count.
const BACKLOG: &str = "
    WITH live (upstream, kind, due, later, dispatched, attached) AS (
      SELECT upstream, kind, run_at <= ?1, run_at > ?1, 0, 0 FROM jobs WHERE state = 0
      UNION ALL SELECT upstream, kind, 0, 0, 1, 0 FROM jobs WHERE state = 1
      UNION ALL SELECT upstream, kind, 0, 0, 0, 1 FROM jobs WHERE state = 2
    )
    SELECT upstream, kind, sum(due), sum(later), sum(dispatched), sum(attached),
      (SELECT avg(tokens) FROM (
        SELECT est_input + est_output AS tokens FROM jobs
        WHERE state = 0 AND kind = live.kind AND upstream = live.upstream LIMIT 1000))
    FROM live GROUP BY upstream, kind ORDER BY upstream, kind";

pub(super) fn backlog(connection: &Connection) -> rusqlite::Result<Vec<Backlog>> {
    connection.prepare_cached(BACKLOG)?.query_map([now_ms()], read_backlog)?.collect()
}

fn read_backlog(row: &Row<'_>) -> rusqlite::Result<Backlog> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Backlog {
        upstream: some_name(row.get(0)?),
        kind: row.get(1)?,
        due: count(2)?,
        later: count(3)?,
        dispatched: count(4)?,
        attached: count(5)?,
        tokens: row.get::<_, Option<f64>>(6)?.unwrap_or_default(),
    })
}

const JOB: &str = "
    SELECT jobs.n, runs.id, jobs.run, jobs.tenant, jobs.kind, jobs.upstream, jobs.dedup_key, jobs.est_input,
      jobs.est_output, jobs.state, jobs.attempts, jobs.max_attempts, jobs.error, jobs.run_at, jobs.dispatched_at,
      jobs.deadline, jobs.withdrawn, twin.id, jobs.priority
    FROM jobs JOIN runs ON runs.n = jobs.run LEFT JOIN jobs twin ON twin.n = jobs.twin WHERE jobs.id = ?1";

/// Due jobs of the lane that go before this one.
const AHEAD: &str = "
    SELECT count(*) FROM jobs WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run = ?3 AND run_at <= ?4
      AND (priority > ?5 OR (priority = ?5 AND (run_at, n) < (?6, ?7)))";

/// Lanes of the tenant that take turns with this one, and how many of their jobs go before one that has `?5` before it.
const TURNS: &str = "
    SELECT count(*), coalesce(sum(min(due, ?5 + 1)), 0) FROM (
      SELECT count(*) AS due FROM jobs
      WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run <> ?3 AND run_at <= ?4 AND tenant = ?6
      GROUP BY run)";

/// Due jobs of other tenants.
const RIVALS: &str = "
    SELECT tenant, count(*) FROM jobs
    WHERE state = 0 AND kind = ?1 AND upstream = ?2 AND run_at <= ?3 AND tenant <> ?4
    GROUP BY tenant ORDER BY tenant";

pub(super) fn standing(connection: &Connection, job: JobId) -> rusqlite::Result<Option<JobStanding>> {
    let now = now_ms();
    let read = |row: &Row<'_>| read_standing(connection, row, job, now);
    connection.prepare_cached(JOB)?.query_row([job.as_bytes()], read).optional()
}

fn read_standing(
    connection: &Connection,
    row: &Row<'_>,
    job: JobId,
    now: i64,
) -> rusqlite::Result<JobStanding> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let ms = |ms: i64| Duration::from_millis(ms.max(0).cast_unsigned());
    let unknown = || rusqlite::Error::FromSqlConversionFailure(9, Type::Integer, "unknown state".into());
    let state = job_state(row.get(9)?).ok_or_else(unknown)?;
    let (kind, upstream): (String, String) = (row.get(4)?, row.get(5)?);
    let (n, run, run_at, priority): (i64, i64, i64, i64) =
        (row.get(0)?, row.get(2)?, row.get(13)?, row.get(18)?);
    let is_ready = state == JobState::Ready;
    let tenant: String = row.get(3)?;
    let (mut ahead, mut lanes, mut turns, mut rivals) = (0, 0, 0, Vec::new());
    if is_ready {
        ahead = connection
            .prepare_cached(AHEAD)?
            .query_row(params![kind, upstream, run, now, priority, run_at, n], |row| row.get::<_, i64>(0))?;
        (lanes, turns) = connection
            .prepare_cached(TURNS)?
            .query_row(params![kind, upstream, run, now, ahead, tenant], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let rival = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
        rivals = connection
            .prepare_cached(RIVALS)?
            .query_map(params![kind, upstream, now, tenant], rival)?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(JobStanding {
        job,
        run: RunId::from_bytes(row.get(1)?),
        tenant,
        kind,
        upstream: some_name(upstream),
        dedup_key: DedupKey::from_bytes(row.get(6)?),
        estimate: Estimate { input_tokens: count(7)?, output_tokens: count(8)? },
        state,
        attempts: row.get(10)?,
        max_attempts: row.get(11)?,
        error: row.get(12)?,
        due_in: (is_ready && run_at > now).then(|| ms(run_at - now)),
        dispatched: row
            .get::<_, Option<i64>>(14)?
            .filter(|_| state == JobState::Dispatched)
            .map(|at| ms(now - at)),
        deadline_in: row.get::<_, Option<i64>>(15)?.map(|deadline| ms(deadline - now)),
        withdrawn: row.get(16)?,
        twin: row.get::<_, Option<[u8; 16]>>(17)?.map(JobId::from_bytes),
        ahead: ahead.cast_unsigned(),
        lanes: i64::cast_unsigned(lanes),
        turns: i64::cast_unsigned(turns),
        rivals,
    })
}

fn some_name(name: String) -> Option<String> {
    (!name.is_empty()).then_some(name)
}
