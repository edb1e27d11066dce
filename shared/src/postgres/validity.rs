//! Whether a dispatch still counts, and whether a finish was recorded.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use super::fault::Result;
use super::numbers::{number_of, uuid_of};
use crate::domain::JobId;
use crate::ports::{Finish, Validity};

pub(super) const CURRENT: &str = "
    SELECT q.n, q.fence, q.withdrawn, q.dispatched_at <= now() - $4 * interval '1 ms', q.deadline <= now()
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) d (n, id, fence),
      LATERAL (SELECT * FROM queue WHERE n = d.n AND state + 0 = 1 AND fence = d.fence AND id = d.id OFFSET 0) q";

/// Those of before `renew_after_ms`, held in order of numbers, as everybody does it.
pub(super) const HOLD_OLD: &str = "
    SELECT q.n FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) d (n, id, fence), LATERAL (
      SELECT * FROM queue WHERE n = d.n AND state + 0 = 1 AND fence = d.fence AND id = d.id
        AND dispatched_at <= now() - $4 * interval '1 ms' FOR UPDATE) q";

/// The answers, in the order of the dispatches, and whether one that counts is older than that.
pub(super) async fn of_all(
    connection: &mut PgConnection,
    dispatches: &[(JobId, u64)],
    renew_after_ms: i64,
) -> Result<(Vec<Validity>, bool)> {
    let rows = ask(CURRENT, dispatches, renew_after_ms).fetch_all(connection).await?;
    let mut current = HashMap::with_capacity(rows.len());
    let mut waited = false;
    for row in &rows {
        let validity = match (row.try_get(2)?, row.try_get(4)?) {
            (true, _) => Validity::Withdrawn,
            (false, Some(true)) => Validity::Expired,
            (false, _) => Validity::Current,
        };
        current.insert((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?), validity);
        waited |= row.try_get::<bool, _>(3)?;
    }
    let answer = |(job, fence): &(JobId, u64)| {
        current.get(&(number_of(*job), fence.cast_signed())).copied().unwrap_or(Validity::Stale)
    };
    Ok((dispatches.iter().map(answer).collect(), waited))
}

/// The answers, after those that waited for so long were dispatched now, so to speak.
pub(super) async fn begin_anew(
    connection: &mut PgConnection,
    dispatches: &[(JobId, u64)],
    renew_after_ms: i64,
) -> Result<Vec<Validity>> {
    let mut sorted = dispatches.to_vec();
    sorted.sort_unstable_by_key(|(job, _)| number_of(*job));
    let held = ask(HOLD_OLD, &sorted, renew_after_ms).fetch_all(&mut *connection).await?;
    let held: Vec<i64> = held.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
    sqlx::query("UPDATE queue SET dispatched_at = now() WHERE n = ANY($1)")
        .bind(held)
        .execute(&mut *connection)
        .await?;
    Ok(of_all(connection, dispatches, renew_after_ms).await?.0)
}

fn ask(
    sql: &'static str,
    dispatches: &[(JobId, u64)],
    renew_after_ms: i64,
) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql)
        .bind(dispatches.iter().map(|(job, _)| number_of(*job)).collect::<Vec<_>>())
        .bind(dispatches.iter().map(|(job, _)| uuid_of(*job)).collect::<Vec<_>>())
        .bind(dispatches.iter().map(|(_, fence)| fence.cast_signed()).collect::<Vec<_>>())
        .bind(renew_after_ms)
}

/// Which of these were recorded under their fence, by whomever: a terminal job keeps the fence that
/// ended it, a job that went back the last fence that put it back. Each fence is settled once.
pub(super) const RECORDED: &str = "
    SELECT f.n FROM unnest($1::bigint[], $2::bigint[]) f (n, fence), LATERAL (
      SELECT 1 FROM endings WHERE n = f.n AND fence = f.fence
      UNION ALL SELECT 1 FROM queue WHERE n = f.n AND settled_fence = f.fence
      UNION ALL SELECT 1 FROM attempts WHERE job = f.n AND fence = f.fence LIMIT 1) settled";

pub(super) async fn recorded(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<HashSet<i64>> {
    let found: Vec<i64> = sqlx::query_scalar(RECORDED)
        .bind(finishes.iter().map(|finish| number_of(finish.job)).collect::<Vec<_>>())
        .bind(finishes.iter().map(|finish| finish.fence.cast_signed()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}
