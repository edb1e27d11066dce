//! Dispatching where several tenants may have work: by their weights and tokens, whoever dispatches.
//!
//! Whose turn it is stands in the table `turns`, so that all dispatchers go by it, also after a
//! restart. So they take from an upstream one after the other, each in a transaction.

mod claims;
mod clocks;

use std::collections::BTreeSet;
use std::sync::PoisonError;

use sqlx::PgConnection;

use super::dispatch::LastTurns;
use super::fault::{Result, in_doubt};
use super::lanes::Lane;
use super::take::{Taken, take_these};
use crate::ports::{DispatchAsk, Scope};
use crate::rules::take_turns;
use claims::{Claimant, claimants};

pub(super) async fn dispatch(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    last_turns: &LastTurns,
) -> Result<Taken> {
    debug_assert_eq!(ask.scope, Scope::All, "one run is of one tenant");
    let last = last_turns.lock().unwrap_or_else(PoisonError::into_inner).get(&ask.kind).cloned();
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let mut upstreams = clocks::lock(connection, ask).await?;
    let behind_last =
        upstreams.partition_point(|name| last.as_ref().is_some_and(|last| *name <= last.upstream));
    upstreams.rotate_left(behind_last);
    let (taken, last) = take_of_all(connection, ask, upstreams).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await.map_err(in_doubt)?;
    if let Some(last) = last {
        last_turns.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.kind.clone(), last);
    }
    Ok(taken)
}

/// An equal share for each upstream; where some have less, the others may have more. Answers also the
/// lane that had the last turn.
async fn take_of_all(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    mut upstreams: Vec<String>,
) -> Result<(Taken, Option<Lane>)> {
    let (mut taken, mut last) = (Taken::default(), None);
    let mut rest = ask.limit;
    while rest > 0 && !upstreams.is_empty() {
        let share = rest.div_ceil(upstreams.len());
        let mut have_more = Vec::new();
        for upstream in upstreams {
            let share = share.min(rest);
            let turns = take_of(connection, ask, &upstream, share, &mut taken).await?;
            rest -= turns.given;
            last = turns.last.or(last);
            if turns.given == share {
                have_more.push(upstream);
            }
        }
        upstreams = have_more;
    }
    Ok((taken, last))
}

struct Given {
    /// Turns: a job that another holds at this moment has had its own.
    given: usize,
    last: Option<Lane>,
}

/// Takes the next jobs for an upstream, in order of turns.
async fn take_of(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    upstream: &str,
    limit: usize,
    taken: &mut Taken,
) -> Result<Given> {
    let (mut given, mut last) = (0, None);
    // More are not served, unless what some have is taken by others meanwhile.
    let mut tenants = limit;
    loop {
        let mut claimants = claimants(connection, ask, upstream, limit - given, tenants).await?;
        let mut claims: Vec<_> = claimants.iter().map(Claimant::claim).collect();
        let horizon = claims.iter().map(|claim| claim.ahead).max().filter(|_| claims.len() == tenants);
        let turns = take_turns(&mut claims, limit - given, horizon);
        let chosen: Vec<_> = turns.order.iter().filter_map(|place| claimants[*place].next()).collect();
        given += chosen.len();
        last = chosen.last().map(|(_, lane)| lane.lane.clone()).or(last);
        let more = take_these(connection, &ask.kind, &chosen).await?;
        taken.envelopes.extend(more.envelopes);
        taken.expired.extend(more.expired);
        if !turns.order.is_empty() {
            let served: BTreeSet<_> = turns.order.iter().copied().collect();
            let served = served.into_iter().map(|place| (&claimants[place], claims[place].ahead));
            clocks::save(connection, ask, upstream, served, turns.passed).await?;
        }
        tenants = tenants.saturating_mul(4);
        if !turns.unknown || given == limit {
            return Ok(Given { given, last });
        }
    }
}
