//! Tenants' turns, where several may have work: by their weights and tokens.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::fair::{enough, interleave};
use super::fault::Result;
use super::lanes::Lane;
use crate::domain::Estimate;
use crate::ports::DispatchAsk;
use crate::rules::{Claim, Turns, take_turns};

pub(super) const SEVERAL: &str =
    "SELECT 1 FROM runs WHERE state < 2 AND tenant > (SELECT min(tenant) FROM runs WHERE state < 2) LIMIT 1";
pub(super) const CLOCK: &str =
    "SELECT ahead, run FROM turns WHERE kind = ?1 AND upstream = ?2 AND tenant = ?3";
pub(super) const REST: &str = "UPDATE turns SET ahead = max(ahead - ?3, 0) WHERE kind = ?1 AND upstream = ?2";
pub(super) const FORGET: &str = "DELETE FROM turns WHERE kind = ?1 AND upstream = ?2 AND ahead = 0";

/// A tenant with work for an upstream.
struct Claimant {
    tenant: String,
    /// The number of the run that had the tenant's last turn.
    last_run: i64,
    claim: Claim,
    /// Numbers of its next jobs and of their runs.
    jobs: std::vec::IntoIter<(i64, i64)>,
}

pub(super) fn several_tenants(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(SEVERAL)?.exists([])
}

/// Takes up to `ask.limit` due jobs: an equal share for each upstream, and what one leaves for the
/// others; of an upstream by the tenants' weights.
pub(super) fn take_by_weight(
    connection: &Connection,
    ask: &DispatchAsk,
    lanes: Vec<Lane>,
    last: &mut Option<Lane>,
    now: i64,
) -> Result<Vec<i64>> {
    let mut upstreams: Vec<_> = by_upstream(lanes).into_iter().collect();
    let behind_last =
        upstreams.partition_point(|(name, _)| last.as_ref().is_some_and(|last| *name <= last.upstream));
    upstreams.rotate_left(behind_last);
    let mut found = Vec::with_capacity(upstreams.len());
    for (upstream, lanes) in upstreams {
        let claimants = claimants(connection, ask, &upstream, lanes, now)?;
        found.push((upstream, claimants));
    }
    let due = |(_, claimants): &(String, Vec<Claimant>)| {
        claimants.iter().map(|claimant| claimant.jobs.len()).sum::<usize>()
    };
    let shares = split(&found.iter().map(due).collect::<Vec<_>>(), ask.limit);
    let mut taken = Vec::new();
    for ((upstream, mut claimants), share) in found.into_iter().zip(shares) {
        let mut claims: Vec<_> =
            claimants.iter_mut().map(|claimant| std::mem::take(&mut claimant.claim)).collect();
        let turns = take_turns(&mut claims, share, None);
        for place in &turns.order {
            let claimant = &mut claimants[*place];
            if let Some((job, run)) = claimant.jobs.next() {
                claimant.last_run = run;
                *last = Some(Lane { run, upstream: upstream.clone() });
                taken.push(job);
            }
        }
        save(connection, ask, &upstream, &claimants, &claims, &turns)?;
    }
    Ok(taken)
}

fn by_upstream(lanes: Vec<Lane>) -> BTreeMap<String, Vec<Lane>> {
    let mut upstreams: BTreeMap<String, Vec<Lane>> = BTreeMap::new();
    for lane in lanes {
        upstreams.entry(lane.upstream.clone()).or_default().push(lane);
    }
    upstreams
}

/// Equal shares of a limit for those that have so many jobs; what one leaves the others get.
fn split(due: &[usize], limit: usize) -> Vec<usize> {
    let mut shares = vec![0; due.len()];
    let mut rest = limit.min(due.iter().sum());
    while rest > 0 {
        let open = (0..due.len()).filter(|place| shares[*place] < due[*place]).count();
        let share = rest.div_ceil(open.max(1));
        for (has, due) in shares.iter_mut().zip(due) {
            let more = share.min(due - *has).min(rest);
            *has += more;
            rest -= more;
        }
    }
    shares
}

fn claimants(
    connection: &Connection,
    ask: &DispatchAsk,
    upstream: &str,
    lanes: Vec<Lane>,
    now: i64,
) -> Result<Vec<Claimant>> {
    let mut tenants: BTreeMap<String, Vec<Lane>> = BTreeMap::new();
    for lane in lanes {
        let tenant = connection
            .prepare_cached("SELECT tenant FROM runs WHERE n = ?1")?
            .query_row([lane.run], |row| row.get(0))?;
        tenants.entry(tenant).or_default().push(lane);
    }
    tenants
        .into_iter()
        .map(|(tenant, lanes)| claimant(connection, ask, upstream, tenant, lanes, now))
        .collect()
}

fn claimant(
    connection: &Connection,
    ask: &DispatchAsk,
    upstream: &str,
    tenant: String,
    mut lanes: Vec<Lane>,
    now: i64,
) -> Result<Claimant> {
    let clock = connection
        .prepare_cached(CLOCK)?
        .query_row(params![ask.kind, upstream, tenant], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let (ahead, last_run) = clock.unwrap_or_default();
    lanes.sort();
    let start = lanes.partition_point(|lane| lane.run <= last_run);
    lanes.rotate_left(start);
    let backlogs = enough(connection, &ask.kind, &lanes, ask.limit, now)?;
    let backlogs = backlogs.into_iter().zip(&lanes);
    let backlogs = backlogs.map(|(jobs, lane)| jobs.into_iter().map(|job| (job, lane.run)).collect());
    let (jobs, _) = interleave(backlogs.collect(), ask.limit);
    let tokens = jobs.iter().map(|(job, _)| tokens(connection, *job)).collect::<rusqlite::Result<_>>()?;
    let claim =
        Claim { weight: ask.weights.of(&tenant), ahead: ahead.max(0).cast_unsigned(), tokens, more: false };
    Ok(Claimant { tenant, last_run, claim, jobs: jobs.into_iter() })
}

fn tokens(connection: &Connection, job: i64) -> rusqlite::Result<u64> {
    let mut estimate = connection.prepare_cached("SELECT est_input, est_output FROM jobs WHERE n = ?1")?;
    estimate.query_row([job], |row| {
        let estimate = Estimate {
            input_tokens: row.get::<_, i64>(0)?.cast_unsigned(),
            output_tokens: row.get::<_, i64>(1)?.cast_unsigned(),
        };
        Ok(estimate.total())
    })
}

/// Who is neither ahead nor has work needs no row.
fn save(
    connection: &Connection,
    ask: &DispatchAsk,
    upstream: &str,
    claimants: &[Claimant],
    claims: &[Claim],
    turns: &Turns,
) -> rusqlite::Result<()> {
    connection.prepare_cached(REST)?.execute(params![ask.kind, upstream, number(turns.passed)])?;
    connection.prepare_cached(FORGET)?.execute(params![ask.kind, upstream])?;
    for (claimant, claim) in claimants.iter().zip(claims) {
        connection
            .prepare_cached(
                "INSERT INTO turns (kind, upstream, tenant, ahead, run) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, upstream, tenant) DO UPDATE SET ahead = excluded.ahead, run = excluded.run",
            )?
            .execute(params![ask.kind, upstream, claimant.tenant, number(claim.ahead), claimant.last_run])?;
    }
    Ok(())
}

fn number(steps: u64) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn what_one_upstream_leaves_the_others_get() {
        let table: [(&[usize], usize, &[usize]); 6] = [
            (&[9, 9], 4, &[2, 2]),
            (&[9, 1], 6, &[5, 1]),
            (&[1, 9, 9], 7, &[1, 3, 3]),
            (&[9, 9], 1, &[1, 0]),
            (&[1, 0], 9, &[1, 0]),
            (&[], 9, &[]),
        ];
        for (due, limit, shares) in table {
            assert_eq!(split(due, limit), shares, "{due:?}, {limit}");
        }
    }
}
