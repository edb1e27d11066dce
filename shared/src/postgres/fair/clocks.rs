//! The clocks of lines and their tenants: who is ahead of its line.

use sqlx::PgConnection;

use super::super::fault::Result;
use super::super::lanes::upstreams;
use super::claims::Claimant;
use crate::ports::DispatchAsk;

/// Upstreams with ready jobs, each held until the transaction ends. All take them in order of names,
/// so nobody waits in a circle. Nor does the commit wait for the disk, as any dispatch's.
pub(in crate::postgres) const LOCK: &str = concat!(
    "WITH RECURSIVE settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), ",
    upstreams!(),
    ", wanted AS MATERIALIZED (
      SELECT upstream FROM settings, ups WHERE upstream <> ALL($2) ORDER BY upstream
    )
    SELECT upstream FROM wanted, LATERAL (
      SELECT pg_advisory_xact_lock(hashtextextended($1 || E'\\n' || wanted.upstream, 0)) OFFSET 0) held"
);

pub(super) async fn lock(connection: &mut PgConnection, ask: &DispatchAsk) -> Result<Vec<String>> {
    let upstreams = sqlx::query_scalar(LOCK).bind(&ask.kind).bind(&ask.skip_upstreams);
    Ok(upstreams.fetch_all(connection).await?)
}

/// `$3`: how far the line's clock advanced; `$4, $5, $6`: who was served, how far each is ahead now, whose turn
/// was last. All others' clocks stand: who is behind the line counts as being with it.
pub(in crate::postgres) const SAVE: &str = "
    WITH line AS (
      INSERT INTO lines (kind, upstream, clock) VALUES ($1, $2, $3)
      ON CONFLICT (kind, upstream) DO UPDATE SET clock = lines.clock + $3 RETURNING clock
    ), saved AS (
      INSERT INTO turns (kind, upstream, tenant, clock, run)
      SELECT $1, $2, tenant, line.clock + ahead, run
      FROM line, unnest($4::text[], $5::bigint[], $6::bigint[]) t (tenant, ahead, run)
      ON CONFLICT (kind, upstream, tenant) DO UPDATE SET clock = excluded.clock, run = excluded.run
    )
    SELECT clock FROM line";

/// A line's clock, and all on it, begin anew long before the numbers end.
const LATEST: i64 = 1 << 61;
const BEGIN_ANEW: &str = "
    WITH line AS (UPDATE lines SET clock = 0 WHERE kind = $1 AND upstream = $2)
    UPDATE turns SET clock = greatest(clock - $3, 0) WHERE kind = $1 AND upstream = $2";

/// `served`: with how far each is ahead of the line now.
pub(super) async fn save(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    served: impl Iterator<Item = (&Claimant, u64)>,
    passed: u64,
) -> Result<()> {
    let (mut tenants, mut aheads, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for (claimant, ahead) in served {
        tenants.push(claimant.tenant.as_str());
        aheads.push(number(ahead));
        runs.push(claimant.last_run);
    }
    let clock: i64 = sqlx::query_scalar(SAVE)
        .bind(&ask.kind)
        .bind(upstream)
        .bind(number(passed))
        .bind(tenants)
        .bind(aheads)
        .bind(runs)
        .fetch_one(&mut *connection)
        .await?;
    if clock > LATEST {
        sqlx::query(BEGIN_ANEW).bind(&ask.kind).bind(upstream).bind(clock).execute(connection).await?;
    }
    Ok(())
}

fn number(steps: u64) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}
