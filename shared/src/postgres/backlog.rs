//! How much waits, and how one job stands.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::codes::job_state;
use super::fault::{Fault, Result};
use super::numbers::{number_of, uuid_of};
use crate::domain::{DedupKey, Estimate, JobId, JobState, RunId};
use crate::ports::{Backlog, JobStanding};

/// Tokens stand beside the jobs and not in the queue, so their mean is one over some.
const BACKLOG: &str = "
    WITH live AS MATERIALIZED (
      SELECT upstream, kind, count(*) FILTER (WHERE state = 0 AND run_at <= now()) AS due,
        count(*) FILTER (WHERE state = 0 AND run_at > now()) AS later,
        count(*) FILTER (WHERE state = 1) AS dispatched, count(*) FILTER (WHERE state = 2) AS attached
      FROM queue GROUP BY upstream, kind
    )
    SELECT upstream, kind, due, later, dispatched, attached,
      (SELECT avg(j.est_input + j.est_output)::float8 FROM (
         SELECT n FROM queue WHERE state = 0 AND NOT waits AND kind = live.kind AND upstream = live.upstream
         UNION ALL
         SELECT n FROM queue WHERE state = 0 AND waits AND kind = live.kind AND upstream = live.upstream
         LIMIT 1000) few,
         LATERAL (SELECT est_input, est_output FROM jobs WHERE n = few.n OFFSET 0) j)
    FROM live ORDER BY upstream, kind";

pub(super) async fn backlog(connection: &mut PgConnection) -> Result<Vec<Backlog>> {
    sqlx::query(BACKLOG).fetch_all(connection).await?.iter().map(read_backlog).collect()
}

fn read_backlog(row: &PgRow) -> Result<Backlog> {
    let count = |column: usize| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(Backlog {
        upstream: some_name(row.try_get(0)?),
        kind: row.try_get(1)?,
        due: count(2)?,
        later: count(3)?,
        dispatched: count(4)?,
        attached: count(5)?,
        tokens: row.try_get::<Option<f64>, _>(6)?.unwrap_or_default(),
    })
}

/// One statement, so that all of it is of one moment.
const STANDING: &str = "
    WITH job AS MATERIALIZED (
      SELECT j.n, j.run, r.id AS run_id, r.tenant, j.kind, j.upstream, j.dedup_key, j.est_input, j.est_output,
        coalesce(e.state, q.state) AS state, coalesce(e.attempts, q.attempts, 0) AS attempts, j.max_attempts,
        coalesce(e.error, q.error) AS error, q.run_at, q.dispatched_at, q.deadline,
        coalesce(q.withdrawn, false) AS withdrawn, q.twin, j.priority
      FROM jobs j JOIN runs r ON r.n = j.run LEFT JOIN queue q ON q.n = j.n LEFT JOIN endings e ON e.n = j.n
      WHERE j.n = $1 AND j.id = $2
    ), line AS (
      SELECT a.* FROM job, LATERAL (
        SELECT * FROM queue WHERE state = 0 AND NOT waits AND kind = job.kind AND upstream = job.upstream
        UNION ALL
        SELECT * FROM queue
        WHERE state = 0 AND waits AND run_at <= now() AND kind = job.kind AND upstream = job.upstream) a
      WHERE job.state = 0
    ), before AS MATERIALIZED (
      SELECT count(*) AS ahead FROM job, line a
      WHERE a.tenant = job.tenant AND a.run = job.run
        AND (a.priority > job.priority
             OR (a.priority = job.priority AND (a.run_at, a.n) < (job.run_at, job.n)))
    ), others AS (
      SELECT a.run, a.tenant, count(*) AS due FROM job, line a WHERE a.run <> job.run
      GROUP BY a.run, a.tenant
    ), rivals AS (
      SELECT others.tenant, sum(others.due)::bigint AS due FROM job, others
      WHERE others.tenant <> job.tenant GROUP BY others.tenant
    )
    SELECT job.*, (SELECT id FROM jobs WHERE n = job.twin) AS twin_id, before.ahead,
      (SELECT count(*) FROM others WHERE others.tenant = job.tenant) AS lanes,
      (SELECT coalesce(sum(least(due, before.ahead + 1)), 0)::bigint FROM others
       WHERE others.tenant = job.tenant) AS turns,
      (SELECT coalesce(array_agg(tenant ORDER BY tenant), '{}') FROM rivals) AS rivals,
      (SELECT coalesce(array_agg(due ORDER BY tenant), '{}') FROM rivals) AS rivals_due,
      (extract(epoch FROM job.run_at - now()) * 1000)::bigint AS due_ms,
      (extract(epoch FROM now() - job.dispatched_at) * 1000)::bigint AS dispatched_ms,
      (extract(epoch FROM job.deadline - now()) * 1000)::bigint AS deadline_ms
    FROM job, before";

pub(super) async fn standing(connection: &mut PgConnection, job: JobId) -> Result<Option<JobStanding>> {
    let query = sqlx::query(STANDING).bind(number_of(job)).bind(uuid_of(job));
    query.fetch_optional(connection).await?.map(|row| read_standing(&row, job)).transpose()
}

fn read_standing(row: &PgRow, job: JobId) -> Result<JobStanding> {
    let count = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let small = |column: &str| row.try_get::<i32, _>(column).map(|n| u16::try_from(n).unwrap_or(u16::MAX));
    let time = |column: &str| -> Result<Option<Duration>> {
        let ms: Option<i64> = row.try_get(column)?;
        Ok(ms.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    };
    let id = |id: Uuid| JobId::from_bytes(id.into_bytes());
    let unknown = || Fault::Database(sqlx::Error::Decode("a job without a state".into()));
    let state = row.try_get::<Option<i16>, _>("state")?.and_then(job_state).ok_or_else(unknown)?;
    let is_ready = state == JobState::Ready;
    let (rivals, due): (Vec<String>, Vec<i64>) = (row.try_get("rivals")?, row.try_get("rivals_due")?);
    Ok(JobStanding {
        job,
        run: RunId::from_bytes(row.try_get::<Uuid, _>("run_id")?.into_bytes()),
        tenant: row.try_get("tenant")?,
        kind: row.try_get("kind")?,
        upstream: some_name(row.try_get("upstream")?),
        dedup_key: DedupKey::from_bytes(row.try_get("dedup_key")?),
        estimate: Estimate { input_tokens: count("est_input")?, output_tokens: count("est_output")? },
        state,
        attempts: small("attempts")?,
        max_attempts: small("max_attempts")?,
        error: row.try_get("error")?,
        due_in: time("due_ms")?.filter(|wait| is_ready && !wait.is_zero()),
        dispatched: time("dispatched_ms")?.filter(|_| state == JobState::Dispatched),
        deadline_in: time("deadline_ms")?,
        withdrawn: row.try_get("withdrawn")?,
        twin: row.try_get::<Option<Uuid>, _>("twin_id")?.map(id),
        ahead: count("ahead")?,
        lanes: count("lanes")?,
        turns: count("turns")?,
        rivals: rivals.into_iter().zip(due.into_iter().map(i64::cast_unsigned)).collect(),
    })
}

fn some_name(name: String) -> Option<String> {
    (!name.is_empty()).then_some(name)
}
