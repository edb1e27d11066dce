//! Taking all that a line has ready, if that is little: a lone job need not wait for a look at lanes and
//! tenants, for where all may go nobody goes before another.

use sqlx::{PgConnection, Row};

use super::fault::{Result, in_doubt};
use super::numbers::limit;
use super::take::{Taken, hand_over, read_with_lanes};
use crate::domain::LARGEST_ARGS;
use crate::ports::DispatchAsk;

/// More than these nobody asks for in the hope that it is all.
pub(super) const MOST: usize = 8;

/// `$2`: jobs at most; `$4`: bytes of args that a message carries. If there are more, or some that are due sleep on,
/// nothing is taken, nor locked, for other dispatchers pass over what is; one row without a number says so. As
/// [`TAKE`](super::take::TAKE) it does not wait for the disk.
pub(super) const FEW: &str = concat!(
    "
    WITH settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
    few AS MATERIALIZED (
      SELECT q.n, q.upstream, q.tenant, q.run FROM settings, LATERAL (
        SELECT n, upstream, tenant, run FROM queue WHERE state = 0 AND NOT waits AND kind = $1
        ORDER BY upstream, tenant, run LIMIT $2 + 1) q
    ), all_of_it AS MATERIALIZED (
      SELECT (SELECT count(*) FROM few) <= $2 AND coalesce(
        (SELECT run_at FROM queue WHERE state = 0 AND waits ORDER BY run_at LIMIT 1) > now(), true) AS is_few
    ), wanted AS MATERIALIZED (
      SELECT few.* FROM few, all_of_it WHERE is_few AND few.upstream <> ALL($3)
    ), chosen AS MATERIALIZED (
      SELECT row_number() OVER (ORDER BY q.priority DESC, q.run_at, q.n) AS turn, q.n, q.deadline, w.upstream,
        w.tenant, w.run
      FROM wanted w, LATERAL (
        SELECT n, priority, run_at, deadline FROM queue
        WHERE n = w.n AND state + 0 = 0 AND NOT waits FOR UPDATE SKIP LOCKED) q
    ), taken AS (
      ",
    hand_over!("", args "$4"),
    "
    )
    SELECT 1::bigint, c.turn, c.n, t.id, t.fence, t.attempts, t.max_attempts, t.deadline_ms, t.dedup_key, t.est_input,
      t.est_output, t.args, c.upstream, c.tenant, c.run, r.id
    FROM chosen c LEFT JOIN taken t USING (n), LATERAL (SELECT id FROM runs WHERE n = c.run OFFSET 0) r
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM all_of_it WHERE NOT is_few
    ORDER BY 2"
);

/// `None`: there are more.
pub(super) async fn take_few(connection: &mut PgConnection, ask: &DispatchAsk) -> Result<Option<Taken>> {
    let rows = sqlx::query(FEW)
        .bind(&ask.kind)
        .bind(limit(ask.limit))
        .bind(&ask.skip_upstreams)
        .bind(limit(LARGEST_ARGS))
        .fetch_all(connection)
        .await
        .map_err(in_doubt)?;
    for row in &rows {
        if row.try_get::<Option<i64>, _>(1)?.is_none() {
            return Ok(None);
        }
    }
    read_with_lanes(rows, &ask.kind).map(Some)
}
