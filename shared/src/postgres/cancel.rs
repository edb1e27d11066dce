//! Cancelling: what waits ends at once, what is handed out ends with its attempt.
//!
//! A run is cancelled in several transactions, so that a long one blocks nobody: first it is
//! marked, and takes no more jobs; then its jobs end, in rounds. Where nobody is left to end them, a sweep does.

use sqlx::{PgConnection, Row};

use super::counters::Counters;
use super::end::{End, Ending, end_attached, end_jobs};
use super::fault::{Fault, Result};
use super::live::hold;
use super::numbers::{limit, number_of, uuid_of};
use super::runs;
use crate::domain::{JobId, RunId};
use crate::ports::Cancelled;

/// Jobs in one transaction at most.
pub(super) const ROUND: usize = 5_000;
/// Jobs that one statement looks at, most of which may have ended: a long run is walked in many, each of which takes a
/// fraction of a second.
const WALK: usize = 20_000;

/// The job's number, if it is the tenant's.
pub(super) async fn find_job(connection: &mut PgConnection, tenant: &str, id: JobId) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT j.n FROM jobs j JOIN runs r ON r.n = j.run WHERE j.n = $1 AND j.id = $2 AND r.tenant = $3",
    )
    .bind(number_of(id))
    .bind(uuid_of(id))
    .bind(tenant)
    .fetch_optional(connection)
    .await?
    .ok_or(Fault::NoJob(id))
}

pub(super) async fn is_live(connection: &mut PgConnection, n: i64) -> Result<bool> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM queue WHERE n = $1)").bind(n);
    Ok(found.fetch_one(connection).await?)
}

/// The run's number, if it is the tenant's. From then on it takes no jobs. One that is finished stays as it is.
pub(super) async fn mark_run(connection: &mut PgConnection, tenant: &str, id: RunId) -> Result<i64> {
    sqlx::query_scalar(
        "UPDATE runs SET cancelled_at = CASE WHEN state = 2 THEN cancelled_at ELSE coalesce(cancelled_at, now()) END,
           state = greatest(state, 1::smallint), cancelling = state < 2
         WHERE id = $1 AND tenant = $2 RETURNING n",
    )
    .bind(runs::uuid_of(id))
    .bind(tenant)
    .fetch_optional(connection)
    .await?
    .ok_or(Fault::NoRun(id))
}

/// Its jobs have ended, or end with their attempts.
pub(super) async fn unmark_run(connection: &mut PgConnection, run: i64) -> Result<()> {
    sqlx::query("UPDATE runs SET cancelling = false WHERE n = $1").bind(run).execute(connection).await?;
    Ok(())
}

/// Runs that one sweep goes on with.
pub(super) const PORTION: usize = 100;

/// Runs behind this one that somebody has begun to cancel, and should be done with. Two at the same run do no harm.
const LEFT: &str =
    "SELECT n FROM runs WHERE cancelling AND cancelled_at < now() - interval '1 minute' AND n > $1
     ORDER BY n LIMIT $2";

pub(super) async fn left(connection: &mut PgConnection, after: i64) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(LEFT).bind(after).bind(limit(PORTION)).fetch_all(connection).await?)
}

pub(super) const ATTACHED: i16 = 2;
/// The states of live jobs: attached, ready, under way.
pub(super) const LIVE: [i16; 3] = [ATTACHED, 0, 1];

/// The next jobs of the run after a number: the last of them, and those that are live in these states. Said in
/// pairs, for which only the index `jobs_run` will do: with an equal sign the planner may walk all jobs in order of
/// their numbers.
pub(super) const OF_RUN: &str = "
    SELECT max(j.n), coalesce(array_agg(j.n ORDER BY j.n) FILTER (WHERE q.live), '{}')
    FROM (SELECT n FROM jobs WHERE (run, n) > ($1, $2) AND run <= $1 ORDER BY run, n LIMIT $4) j
      LEFT JOIN LATERAL (
        SELECT true AS live FROM queue WHERE n = j.n AND state = ANY($3) AND NOT withdrawn OFFSET 0) q ON true";

/// A part of a run's jobs.
pub(super) struct Walked {
    pub(super) last: i64,
    /// Those that were looked for.
    pub(super) found: Vec<i64>,
}

/// `None`: the run has no more jobs.
pub(super) async fn walk(
    connection: &mut PgConnection,
    run: i64,
    after: i64,
    states: &[i16],
) -> Result<Option<Walked>> {
    let row = sqlx::query(OF_RUN)
        .bind(run)
        .bind(after)
        .bind(states)
        .bind(limit(WALK))
        .fetch_one(connection)
        .await?;
    let last: Option<i64> = row.try_get(0)?;
    last.map(|last| Ok(Walked { last, found: row.try_get(1)? })).transpose()
}

/// Cancels those of the jobs that are in this state, in a transaction. Also answers to which of them others are
/// still attached: see [`Inherited`](super::end::Inherited).
pub(super) async fn cancel_jobs(
    connection: &mut PgConnection,
    jobs: &[i64],
    state: i16,
) -> Result<(Cancelled, Vec<i64>)> {
    let held = hold(connection, jobs, &[state]).await?;
    if held.is_empty() {
        return Ok((Cancelled::default(), Vec::new()));
    }
    let count = held.len() as u64;
    if state == 1 {
        sqlx::query("UPDATE queue SET withdrawn = true WHERE n = ANY($1)")
            .bind(held.iter().map(|job| job.n).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        return Ok((Cancelled { cancelled: 0, under_way: count }, Vec::new()));
    }
    let mut counters = Counters::default();
    let endings = held.into_iter().map(|job| Ending { job, end: End::Cancelled }).collect();
    let unshared = if state == 2 {
        end_attached(connection, endings, &mut counters).await?;
        Vec::new()
    } else {
        end_jobs(connection, endings, &mut counters).await?.unshared
    };
    counters.apply(connection).await?;
    Ok((Cancelled { cancelled: count, under_way: 0 }, unshared))
}
