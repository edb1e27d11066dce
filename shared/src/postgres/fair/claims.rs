//! The tenants that have due jobs for an upstream, and the first of those jobs.

use std::collections::VecDeque;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::super::fault::Result;
use super::super::lanes::{Lane, LaneOfRun};
use super::super::numbers::limit;
use crate::domain::{Estimate, RunId};
use crate::ports::DispatchAsk;
use crate::rules::Claim;

/// Lanes of one tenant that are looked at in one go.
const LANES: usize = 64;
/// Of each tenant so many times the jobs are read that its weight alone would give it: one with small
/// jobs, or whose neighbours have few, has more turns.
const AMPLE: usize = 4;

/// A tenant that has work for an upstream.
pub(in crate::postgres) struct Claimant {
    pub(super) tenant: String,
    /// The run that had the tenant's last turn, by number.
    pub(super) last_run: i64,
    /// How far its clock is ahead of the line's.
    pub(super) ahead: u64,
    weight: u32,
    lanes: Vec<LaneOfRun>,
    /// Jobs of each lane that were asked for.
    share: usize,
    more: bool,
    /// Number, lane, tokens.
    jobs: VecDeque<(i64, usize, u64)>,
}

impl Claimant {
    pub(super) fn claim(&self) -> Claim {
        let tokens = self.jobs.iter().map(|(_, _, tokens)| *tokens).collect();
        Claim { weight: self.weight, ahead: self.ahead, tokens, more: self.more }
    }

    /// The next job; its run has the turn.
    pub(super) fn next(&mut self) -> Option<(i64, LaneOfRun)> {
        let (n, lane, _) = self.jobs.pop_front()?;
        let lane = self.lanes[lane].clone();
        self.last_run = lane.lane.run;
        Some((n, lane))
    }

    /// Of the lanes that were found, as many as there are jobs to read.
    fn bound(&mut self, jobs: usize, lanes_at_most: usize) {
        self.more = self.lanes.len() > jobs || self.lanes.len() >= lanes_at_most;
        self.lanes.truncate(jobs);
        self.share = jobs.div_ceil(self.lanes.len().max(1));
    }
}

/// The runs of a tenant, as `first.tenant`, behind one number up to another that have due jobs, in order of numbers.
macro_rules! runs {
    (behind $behind:literal, to $to:literal) => {
        concat!(
            "(WITH RECURSIVE lane AS (
        (SELECT run FROM queue
         WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = $2 AND tenant = first.tenant AND run > ",
            $behind,
            " AND run <= ",
            $to,
            " ORDER BY run LIMIT 1)
        UNION ALL
        SELECT next.run FROM lane, LATERAL (
          SELECT run FROM queue
          WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = $2 AND tenant = first.tenant AND run > lane.run
            AND run <= ",
            $to,
            " ORDER BY run LIMIT 1) next
      )
      SELECT run FROM lane)"
        )
    };
}

/// `$3`: lanes of one tenant at most; `$4`: tenants at most, of those with due jobs the ones whose clocks are
/// furthest back. A tenant's lanes begin behind the one that had its last turn.
pub(in crate::postgres) const LANES_OF_TENANTS: &str = concat!(
    "WITH RECURSIVE line AS MATERIALIZED (
      SELECT coalesce((SELECT clock FROM lines WHERE kind = $1 AND upstream = $2), 0) AS clock
    ), known AS (
      (SELECT tenant FROM queue WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = $2 ORDER BY tenant LIMIT 1)
      UNION ALL
      SELECT next.tenant FROM known, LATERAL (
        SELECT tenant FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = $2 AND tenant > known.tenant
        ORDER BY tenant LIMIT 1) next
    ), clock AS MATERIALIZED (
      SELECT known.tenant, greatest(coalesce(t.clock, 0) - line.clock, 0) AS ahead, coalesce(t.run, 0) AS run
      FROM line, known LEFT JOIN LATERAL (
        SELECT clock, run FROM turns
        WHERE kind = $1 AND upstream = $2 AND tenant = known.tenant COLLATE \"default\" OFFSET 0) t ON true
    ), first AS MATERIALIZED (
      SELECT tenant, ahead, run FROM clock ORDER BY ahead, tenant LIMIT $4
    )
    SELECT first.tenant, first.ahead, first.run, due.run, r.id FROM first, LATERAL (
      (SELECT run FROM ",
    runs!(behind "first.run", to "9223372036854775807"),
    " behind LIMIT $3)
      UNION ALL
      (SELECT run FROM ",
    runs!(behind "0", to "first.run"),
    " others LIMIT $3)
      LIMIT $3) due, LATERAL (SELECT id FROM runs WHERE n = due.run OFFSET 0) r"
);

/// Up to so many tenants with lanes, those whose clocks are furthest back, in order of names, with the first of
/// their due jobs.
pub(super) async fn claimants(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    turns: usize,
    tenants: usize,
) -> Result<Vec<Claimant>> {
    let mut claimants = with_lanes(connection, ask, upstream, turns, tenants).await?;
    // Of equal clocks the earlier name's turn comes first, however they came to be equal.
    claimants.sort_unstable_by(|one, other| one.tenant.cmp(&other.tenant));
    let weights: usize = claimants.iter().map(|claimant| claimant.weight as usize).sum();
    for claimant in &mut claimants {
        let fair = (turns * claimant.weight as usize).div_ceil(weights.max(1));
        claimant.bound((AMPLE * fair).min(turns), turns.min(LANES));
    }
    read_jobs(connection, ask, upstream, &mut claimants).await?;
    Ok(claimants)
}

async fn with_lanes(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    turns: usize,
    tenants: usize,
) -> Result<Vec<Claimant>> {
    let rows = sqlx::query(LANES_OF_TENANTS)
        .bind(&ask.kind)
        .bind(upstream)
        .bind(limit(turns.min(LANES)))
        .bind(limit(tenants))
        .fetch_all(connection)
        .await?;
    let mut claimants: Vec<Claimant> = Vec::new();
    for row in &rows {
        let tenant: String = row.try_get(0)?;
        let lane = LaneOfRun {
            lane: Lane { upstream: upstream.to_owned(), run: row.try_get(3)? },
            run_id: RunId::from_bytes(row.try_get::<Uuid, _>(4)?.into_bytes()),
            tenant: tenant.clone(),
        };
        match claimants.last_mut() {
            Some(last) if last.tenant == tenant => last.lanes.push(lane),
            _ => claimants.push(Claimant {
                last_run: row.try_get(2)?,
                ahead: row.try_get::<i64, _>(1)?.max(0).cast_unsigned(),
                weight: ask.weights.of(&tenant),
                lanes: vec![lane],
                share: 0,
                more: false,
                jobs: VecDeque::new(),
                tenant,
            }),
        }
    }
    Ok(claimants)
}

/// `$3, $4, $5`: tenants, runs, and how many jobs of each. As in [`TAKE`](super::super::take::TAKE), but they
/// are only read.
pub(in crate::postgres) const NEXT_JOBS: &str = "
    WITH lane AS MATERIALIZED (
      SELECT turn, tenant, run, share
      FROM unnest($3::text[], $4::bigint[], $5::bigint[]) WITH ORDINALITY l (tenant, run, share, turn)
    ), due AS MATERIALIZED (
      SELECT lane.turn, q.n, q.priority, q.run_at FROM lane, LATERAL (
        SELECT n, priority, run_at FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = $2 AND tenant = lane.tenant AND run = lane.run
        ORDER BY priority DESC, run_at, n LIMIT lane.share) q
    ), ranked AS MATERIALIZED (
      SELECT turn, n, row_number() OVER (PARTITION BY turn ORDER BY priority DESC, run_at, n) AS rank FROM due
    )
    SELECT ranked.turn, ranked.n, j.est_input, j.est_output
    FROM ranked, LATERAL (SELECT est_input, est_output FROM jobs WHERE n = ranked.n OFFSET 0) j
    ORDER BY ranked.rank, ranked.turn";

async fn read_jobs(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    claimants: &mut [Claimant],
) -> Result<()> {
    let places: Vec<(usize, usize)> = claimants
        .iter()
        .enumerate()
        .flat_map(|(claimant, of)| (0..of.lanes.len()).map(move |lane| (claimant, lane)))
        .collect();
    let tenants = places.iter().map(|(claimant, _)| claimants[*claimant].tenant.as_str());
    let runs = places.iter().map(|(claimant, lane)| claimants[*claimant].lanes[*lane].lane.run);
    let shares = places.iter().map(|(claimant, _)| limit(claimants[*claimant].share));
    let rows = sqlx::query(NEXT_JOBS)
        .bind(&ask.kind)
        .bind(upstream)
        .bind(tenants.collect::<Vec<_>>())
        .bind(runs.collect::<Vec<_>>())
        .bind(shares.collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut found = vec![0; places.len()];
    for row in &rows {
        let turn = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or_default();
        let (claimant, lane) = places[turn];
        let tokens = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let estimate = Estimate { input_tokens: tokens(2)?, output_tokens: tokens(3)? };
        claimants[claimant].jobs.push_back((row.try_get(1)?, lane, estimate.total()));
        found[turn] += 1;
    }
    for ((claimant, _), found) in places.iter().zip(found) {
        let claimant = &mut claimants[*claimant];
        claimant.more |= found == claimant.share;
    }
    Ok(())
}
