//! Lanes: one run's ready jobs of one kind and one upstream.
//!
//! They are found by probing the index `queue_ready` for its next distinct value, so the cost
//! depends on the number of lanes and of jobs taken, never on the length of the backlog. Those whose jobs all wait
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

/// Whether a lane of kind `$1` has a due job, by its upstream and run. Within a priority the first to become
/// due is found by one probe, so what a lane has that is not due is not walked.
macro_rules! is_due {
    ($upstream:literal, $run:literal) => {
        concat!(
            "EXISTS (
               WITH RECURSIVE level AS (
                 (SELECT priority, run_at FROM queue
                  WHERE state = 0 AND kind = $1 AND upstream = ",
            $upstream,
            " AND run = ",
            $run,
            " ORDER BY priority DESC, run_at LIMIT 1)
                 UNION ALL
                 SELECT next.priority, next.run_at FROM level, LATERAL (
                   SELECT priority, run_at FROM queue
                   WHERE state = 0 AND kind = $1 AND upstream = ",
            $upstream,
            " AND run = ",
            $run,
            " AND priority < level.priority ORDER BY priority DESC, run_at LIMIT 1) next
                 WHERE level.run_at > now()
               )
               SELECT 1 FROM level WHERE run_at <= now())"
        )
    };
}

pub(super) use is_due;

/// First the lanes behind `($2, $3)`, then the others, of those with a due job. An upstream to skip costs one
/// probe, however many runs wait for it.
pub(super) const LANES: &str = concat!(
    "WITH RECURSIVE later AS (
      (SELECT upstream, run, run_at FROM queue
       WHERE state = 0 AND kind = $1 AND (upstream, run) > ($2, $3)
       ORDER BY upstream, run, priority DESC, run_at LIMIT 1)
      UNION ALL
      SELECT next.upstream, next.run, next.run_at FROM later, LATERAL (
        SELECT upstream, run, run_at FROM queue WHERE state = 0 AND kind = $1 AND (upstream, run) >
          (later.upstream, CASE WHEN later.upstream = ANY($4) THEN 9223372036854775807 ELSE later.run END)
        ORDER BY upstream, run, priority DESC, run_at LIMIT 1) next
    ), earlier AS (
      (SELECT upstream, run, run_at FROM queue
       WHERE state = 0 AND kind = $1 AND (upstream, run) <= ($2, $3)
       ORDER BY upstream, run, priority DESC, run_at LIMIT 1)
      UNION ALL
      SELECT next.upstream, next.run, next.run_at FROM earlier, LATERAL (
        SELECT upstream, run, run_at FROM queue WHERE state = 0 AND kind = $1 AND (upstream, run) <= ($2, $3)
          AND (upstream, run) >
          (earlier.upstream, CASE WHEN earlier.upstream = ANY($4) THEN 9223372036854775807 ELSE earlier.run END)
        ORDER BY upstream, run, priority DESC, run_at LIMIT 1) next
    ), lane AS (
      SELECT upstream, run FROM (SELECT * FROM later UNION ALL SELECT * FROM earlier) l
      WHERE upstream <> ALL($4) AND (run_at <= now() OR ",
    is_due!("l.upstream", "l.run"),
    ") LIMIT $5
    )
    SELECT lane.upstream, lane.run, r.id, r.tenant,
      (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant LIMIT 1) IS DISTINCT FROM
        (SELECT tenant FROM runs WHERE state < 2 ORDER BY tenant DESC LIMIT 1) AS several
    FROM lane, LATERAL (SELECT id, tenant FROM runs WHERE n = lane.run OFFSET 0) r"
);

/// Lanes, and whether unfinished runs are of several tenants.
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
    let several_tenants = rows.first().map_or(Ok(false), |row| row.try_get(4))?;
    Ok(Lanes { lanes: rows.iter().map(read_lane).collect::<Result<_>>()?, several_tenants })
}

fn read_lane(row: &PgRow) -> Result<LaneOfRun> {
    Ok(LaneOfRun {
        lane: Lane { upstream: row.try_get(0)?, run: row.try_get(1)? },
        run_id: RunId::from_bytes(row.try_get::<Uuid, _>(2)?.into_bytes()),
        tenant: row.try_get(3)?,
    })
}

pub(super) const LANES_OF_RUN: &str = "
    WITH RECURSIVE ups AS (
      (SELECT upstream FROM queue WHERE state = 0 AND kind = $1 ORDER BY upstream LIMIT 1)
      UNION ALL
      SELECT next.upstream FROM ups, LATERAL (
        SELECT upstream FROM queue WHERE state = 0 AND kind = $1 AND upstream > ups.upstream
        ORDER BY upstream LIMIT 1) next
    )
    SELECT ups.upstream, r.n, r.id, r.tenant FROM ups JOIN runs r ON r.n = $2
    WHERE ups.upstream <> ALL($3) ORDER BY ups.upstream";

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
