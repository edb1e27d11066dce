//! The tenants' clocks: who is ahead of its line.

use sqlx::PgConnection;

use super::super::fault::Result;
use super::claims::Claimant;
use crate::ports::DispatchAsk;

/// Upstreams with ready jobs, each held until the transaction ends. All take them in order of names,
/// so nobody waits in a circle. Nor does the commit wait for the disk, as any dispatch's.
pub(in crate::postgres) const LOCK: &str = "
    WITH RECURSIVE settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
    ups AS (
      (SELECT upstream FROM queue WHERE state = 0 AND kind = $1 ORDER BY upstream LIMIT 1)
      UNION ALL
      SELECT next.upstream FROM ups, LATERAL (
        SELECT upstream FROM queue WHERE state = 0 AND kind = $1 AND upstream > ups.upstream
        ORDER BY upstream LIMIT 1) next
    ), wanted AS MATERIALIZED (
      SELECT upstream FROM settings, ups WHERE upstream <> ALL($2) ORDER BY upstream
    )
    SELECT upstream FROM wanted, LATERAL (
      SELECT pg_advisory_xact_lock(hashtextextended($1 || E'\n' || wanted.upstream, 0)) OFFSET 0) held";

pub(super) async fn lock(connection: &mut PgConnection, ask: &DispatchAsk) -> Result<Vec<String>> {
    let upstreams = sqlx::query_scalar(LOCK).bind(&ask.kind).bind(&ask.skip_upstreams);
    Ok(upstreams.fetch_all(connection).await?)
}

/// `$3`: how far the line's clock advanced; `$4, $5, $6`: who claims, how far each is ahead, whose turn
/// was last. Who is neither ahead nor has work needs no row.
pub(in crate::postgres) const SAVE: &str = "
    WITH resting AS (
      UPDATE turns SET ahead = ahead - $3
      WHERE kind = $1 AND upstream = $2 AND tenant <> ALL($4) AND ahead > $3
    ), gone AS (
      DELETE FROM turns WHERE kind = $1 AND upstream = $2 AND tenant <> ALL($4) AND ahead <= $3
    )
    INSERT INTO turns (kind, upstream, tenant, ahead, run)
    SELECT $1, $2, tenant, ahead, run FROM unnest($4::text[], $5::bigint[], $6::bigint[]) t (tenant, ahead, run)
    ON CONFLICT (kind, upstream, tenant) DO UPDATE SET ahead = excluded.ahead, run = excluded.run";

pub(super) async fn save(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    claims: impl Iterator<Item = (&Claimant, u64)>,
    passed: u64,
) -> Result<()> {
    let (mut tenants, mut aheads, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for (claimant, ahead) in claims {
        tenants.push(claimant.tenant.as_str());
        aheads.push(number(ahead));
        runs.push(claimant.last_run);
    }
    sqlx::query(SAVE)
        .bind(&ask.kind)
        .bind(upstream)
        .bind(number(passed))
        .bind(tenants)
        .bind(aheads)
        .bind(runs)
        .execute(connection)
        .await?;
    Ok(())
}

fn number(steps: u64) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}
