//! Lanes: one run's due jobs of one kind and one upstream.
//!
//! They are found by probing the index `queue_ready` for its next distinct value: an upstream, its next tenant,
//! the tenant's next run. So the cost depends on the lanes that are looked at and on the jobs taken, never on the
//! length of the backlog nor on what waits for other upstreams. A job that was put back for a later time is in no
//! lane until it is [woken](super::due::wake): however many runs have nothing else, they cost nothing and keep
//! nobody from its turn. A turn belongs to a lane and not to a run: what runs compete for is an upstream's quota.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use crate::domain::RunId;

/// In order of upstreams, then of runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) upstream: String,
    pub(super) run: i64,
}

/// A lane, and what its jobs' messages say of their run.
#[derive(Clone, Debug)]
pub(super) struct LaneOfRun {
    pub(super) lane: Lane,
    pub(super) run_id: RunId,
    pub(super) tenant: String,
}

/// The upstreams that have due jobs of kind `$1`, in order of names, as `ups`.
macro_rules! upstreams {
    () => {
        "ups AS (
      (SELECT upstream FROM queue WHERE state = 0 AND NOT waits AND kind = $1 ORDER BY upstream LIMIT 1)
      UNION ALL
      SELECT next.upstream FROM ups, LATERAL (
        SELECT upstream FROM queue WHERE state = 0 AND NOT waits AND kind = $1 AND upstream > ups.upstream
        ORDER BY upstream LIMIT 1) next
    )"
    };
}

pub(super) use upstreams;

/// First the lanes behind `($2, $3)`, then the others. An upstream to skip costs one
/// probe, however many runs wait for it. Where unfinished runs are of several tenants, that alone
/// is answered.
///
/// One walk over upstreams and runs, and not one within the other: each would step over what has been
/// handed out at the head of a lane.
pub(super) const LANES: &str = concat!(
    "WITH RECURSIVE ",
    upstreams!(),
    ", owner AS MATERIALIZED (
      SELECT one AS tenant, one IS DISTINCT FROM other
        AND EXISTS (SELECT 1 FROM ups WHERE upstream <> ALL($4)) AS several
      FROM (SELECT (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant LIMIT 1) AS one,
        (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant DESC LIMIT 1) AS other) t
    ), behind AS (
      SELECT next.* FROM owner, LATERAL (
        SELECT upstream, tenant, run FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND (upstream, tenant, run) > ($2, owner.tenant, $3)
        ORDER BY upstream, tenant, run LIMIT 1) next
      WHERE NOT owner.several
      UNION ALL
      SELECT next.* FROM behind, LATERAL (
        SELECT upstream, tenant, run FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND (upstream, tenant, run) > (behind.upstream, behind.tenant,
          CASE WHEN behind.upstream = ANY($4) THEN 9223372036854775807 ELSE behind.run END)
        ORDER BY upstream, tenant, run LIMIT 1) next
    ), others AS (
      SELECT next.* FROM owner, LATERAL (
        SELECT upstream, tenant, run FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND (upstream, tenant, run) <= ($2, owner.tenant, $3)
        ORDER BY upstream, tenant, run LIMIT 1) next
      WHERE NOT owner.several
      UNION ALL
      SELECT next.* FROM owner, others, LATERAL (
        SELECT upstream, tenant, run FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND (upstream, tenant, run) <= ($2, owner.tenant, $3)
          AND (upstream, tenant, run) > (others.upstream, others.tenant,
          CASE WHEN others.upstream = ANY($4) THEN 9223372036854775807 ELSE others.run END)
        ORDER BY upstream, tenant, run LIMIT 1) next
    )
    SELECT owner.several,
      coalesce((SELECT run_at FROM queue WHERE state = 0 AND waits ORDER BY run_at LIMIT 1) <= now(), false)
        AS some_sleep_on, lane.upstream, lane.run, lane.id, owner.tenant FROM owner LEFT JOIN LATERAL (
      SELECT l.upstream, l.run, r.id FROM (SELECT * FROM behind UNION ALL SELECT * FROM others) l,
        LATERAL (SELECT id FROM runs WHERE n = l.run OFFSET 0) r
      WHERE l.upstream <> ALL($4) LIMIT $5) lane ON true"
);

/// What a look for lanes found: lanes; or that unfinished runs are of several tenants, and there are due jobs.
pub(super) struct Found {
    pub(super) lanes: Vec<LaneOfRun>,
    pub(super) several_tenants: bool,
    /// Jobs that were put back for later are due, and in no lane yet.
    pub(super) some_sleep_on: bool,
}

/// Up to `limit` lanes with due jobs, from the one behind `last` on.
pub(super) async fn all_lanes(
    connection: &mut PgConnection,
    kind: &str,
    last: Option<&Lane>,
    skip: &[String],
    limit: i64,
) -> Result<Found> {
    let (upstream, run) = last.map_or(("", 0), |last| (last.upstream.as_str(), last.run));
    let rows = sqlx::query(LANES)
        .bind(kind)
        .bind(upstream)
        .bind(run)
        .bind(skip)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    read_lanes(&rows)
}

/// Of rows of which the first is there even if no lane is.
fn read_lanes(rows: &[PgRow]) -> Result<Found> {
    let says = |column| rows.first().map_or(Ok(false), |row| row.try_get(column));
    let found =
        rows.iter().filter(|row| row.try_get::<Option<&str>, _>("upstream").is_ok_and(|name| name.is_some()));
    Ok(Found {
        several_tenants: says("several")?,
        some_sleep_on: says("some_sleep_on")?,
        lanes: found.map(read_lane).collect::<Result<_>>()?,
    })
}

fn read_lane(row: &PgRow) -> Result<LaneOfRun> {
    Ok(LaneOfRun {
        lane: Lane { upstream: row.try_get("upstream")?, run: row.try_get("run")? },
        run_id: RunId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
        tenant: row.try_get("tenant")?,
    })
}

pub(super) const LANES_OF_RUN: &str = concat!(
    "WITH RECURSIVE ",
    upstreams!(),
    "
    SELECT false AS several, coalesce(
        (SELECT run_at FROM queue WHERE state = 0 AND waits AND run = $2 ORDER BY run, run_at LIMIT 1) <= now(), false)
      AS some_sleep_on, ups.upstream, r.n AS run, r.id, r.tenant
    FROM runs r LEFT JOIN ups ON ups.upstream <> ALL($3) WHERE r.n = $2 ORDER BY ups.upstream"
);

/// The lanes of one run; some may be empty.
pub(super) async fn lanes_of(
    connection: &mut PgConnection,
    kind: &str,
    run: i64,
    skip: &[String],
) -> Result<Found> {
    read_lanes(&sqlx::query(LANES_OF_RUN).bind(kind).bind(run).bind(skip).fetch_all(connection).await?)
}
