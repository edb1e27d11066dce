//! Lanes: one run's ready jobs of one kind and one upstream.
//!
//! They are found by probing the index `queue_ready` for its next distinct value: an upstream, its next tenant,
//! the tenant's next run. So the cost depends on the lanes that are looked at and on the jobs taken, never on the
//! length of the backlog nor on what waits for other upstreams. Lanes whose jobs all wait
//! for a later time are passed over, so that they keep nobody from its turn. A turn
//! belongs to a lane and not to a run: what runs compete for is an upstream's quota.

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

/// The upstreams that have ready jobs of kind `$1`, in order of names, as `ups`.
macro_rules! upstreams {
    () => {
        "ups AS (
      (SELECT upstream FROM queue WHERE state = 0 AND kind = $1 ORDER BY upstream LIMIT 1)
      UNION ALL
      SELECT next.upstream FROM ups, LATERAL (
        SELECT upstream FROM queue WHERE state = 0 AND kind = $1 AND upstream > ups.upstream
        ORDER BY upstream LIMIT 1) next
    )"
    };
}

/// The runs behind one number up to another that have due jobs of kind `$1`, by their upstream and tenant, in
/// order of numbers. Within a priority the first to become due is found by one probe, so what a lane has that is
/// not due is not walked; a lower priority is looked at where the higher ones have nothing due.
macro_rules! due_lanes {
    ($upstream:literal, $tenant:literal, behind $behind:literal, to $to:literal) => {
        concat!(
            "(WITH RECURSIVE level AS (
        (SELECT run, priority, run_at FROM queue
         WHERE state = 0 AND kind = $1 AND upstream = ",
            $upstream,
            " AND tenant = ",
            $tenant,
            " AND run > ",
            $behind,
            " AND run <= ",
            $to,
            " ORDER BY run, priority DESC, run_at LIMIT 1)
        UNION ALL
        SELECT next.run, next.priority, next.run_at FROM level, LATERAL (
          (SELECT run, priority, run_at FROM queue
           WHERE state = 0 AND kind = $1 AND upstream = ",
            $upstream,
            " AND tenant = ",
            $tenant,
            " AND run = level.run AND priority < level.priority AND level.run_at > now()
           ORDER BY priority DESC, run_at LIMIT 1)
          UNION ALL
          (SELECT run, priority, run_at FROM queue
           WHERE state = 0 AND kind = $1 AND upstream = ",
            $upstream,
            " AND tenant = ",
            $tenant,
            " AND run > level.run AND run <= ",
            $to,
            " ORDER BY run, priority DESC, run_at LIMIT 1)
          LIMIT 1) next
      )
      SELECT run FROM level WHERE run_at <= now())"
        )
    };
}

pub(super) use {due_lanes, upstreams};

/// First the lanes behind `($2, $3)`, then the others, of those with a due job. An upstream to skip costs one
/// probe, however many runs wait for it. Where unfinished runs are of several tenants, that alone
/// is answered.
pub(super) const LANES: &str = concat!(
    "WITH RECURSIVE ",
    upstreams!(),
    ", owner AS MATERIALIZED (
      SELECT one AS tenant, one IS DISTINCT FROM other
        AND EXISTS (SELECT 1 FROM ups WHERE upstream <> ALL($4)) AS several
      FROM (SELECT (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant LIMIT 1) AS one,
        (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant DESC LIMIT 1) AS other) t
    ), span AS (
      SELECT upstream, CASE WHEN upstream = $2 THEN $3 ELSE 0 END AS behind, 9223372036854775807 AS last
      FROM ups WHERE upstream >= $2 AND upstream <> ALL($4)
      UNION ALL
      SELECT upstream, 0, CASE WHEN upstream = $2 THEN $3 ELSE 9223372036854775807 END
      FROM ups WHERE upstream <= $2 AND upstream <> ALL($4)
    )
    SELECT owner.several, lane.upstream, lane.run, lane.id, owner.tenant FROM owner LEFT JOIN LATERAL (
      SELECT span.upstream, due.run, r.id FROM span, LATERAL ",
    due_lanes!("span.upstream", "owner.tenant", behind "span.behind", to "span.last"),
    " due, LATERAL (SELECT id FROM runs WHERE n = due.run OFFSET 0) r
      WHERE NOT owner.several LIMIT $5) lane ON true"
);

/// Lanes; or that unfinished runs are of several tenants, and there are ready jobs.
#[derive(Default)]
pub(super) struct Lanes {
    pub(super) lanes: Vec<LaneOfRun>,
    pub(super) several_tenants: bool,
}

/// Up to `limit` lanes with due jobs, from the one behind `last` on.
pub(super) async fn all_lanes(
    connection: &mut PgConnection,
    kind: &str,
    last: Option<&Lane>,
    skip: &[String],
    limit: i64,
) -> Result<Lanes> {
    let (upstream, run) = last.map_or(("", 0), |last| (last.upstream.as_str(), last.run));
    let rows = sqlx::query(LANES)
        .bind(kind)
        .bind(upstream)
        .bind(run)
        .bind(skip)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let several_tenants = rows.first().map_or(Ok(false), |row| row.try_get("several"))?;
    let found = rows.iter().filter(|row| row.try_get::<Option<i64>, _>("run").is_ok_and(|run| run.is_some()));
    Ok(Lanes { lanes: found.map(read_lane).collect::<Result<_>>()?, several_tenants })
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
    SELECT ups.upstream, r.n AS run, r.id, r.tenant FROM ups JOIN runs r ON r.n = $2
    WHERE ups.upstream <> ALL($3) ORDER BY ups.upstream"
);

/// The lanes of one run; some may be empty.
pub(super) async fn lanes_of(
    connection: &mut PgConnection,
    kind: &str,
    run: i64,
    skip: &[String],
) -> Result<Vec<LaneOfRun>> {
    let rows = sqlx::query(LANES_OF_RUN).bind(kind).bind(run).bind(skip).fetch_all(connection).await?;
    rows.iter().map(read_lane).collect()
}
