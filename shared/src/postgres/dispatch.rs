//! Dispatching: all, if it is little; else lanes in turn, then the twins of other runs that a run waits for. Where
//! several tenants may have work, [`fair`](super::fair) gives the turns.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::due::wake;
use super::fair;
use super::fault::{Fault, Result};
use super::few;
use super::lanes::{Found, Lane, LaneOfRun, all_lanes, lanes_of};
use super::numbers::limit;
use super::runs::find_run;
use super::take::{Taken, take};
use crate::domain::RunId;
use crate::ports::{DispatchAsk, Scope};

/// The lane that had the last turn, for each kind: the next round of this process starts behind it,
/// so that rounds of one job are fair too.
pub(super) type LastTurns = Mutex<BTreeMap<String, Lane>>;

pub(super) async fn dispatch(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    last_turns: &LastTurns,
) -> Result<Taken> {
    let mut taken = Taken::default();
    if ask.limit == 0 && ask.scope == Scope::All {
        return Ok(taken);
    }
    if ask.scope == Scope::All
        && ask.limit <= few::MOST
        && let Some(all) = few::take_few(connection, ask).await?
    {
        return Ok(all);
    }
    let run = match ask.scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run).await?),
    };
    let last = last_turns.lock().unwrap_or_else(PoisonError::into_inner).get(&ask.kind).cloned();
    let mut found = look(connection, ask, run, last.as_ref()).await?;
    if found.some_sleep_on {
        wake(connection, run).await?;
        found = look(connection, ask, run, last.as_ref()).await?;
    }
    if found.several_tenants {
        return fair::dispatch(connection, ask, last_turns).await;
    }
    let lanes = found.lanes;
    if !lanes.is_empty() {
        taken = take_in_turns(connection, ask, &lanes).await?;
    }
    if let Some(last) = taken.last {
        let lane = lanes[last].lane.clone();
        last_turns.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.kind.clone(), lane);
    }
    if let Some(run) = run
        && taken.len() < ask.limit
    {
        let more = twins_elsewhere(connection, ask, run, ask.limit - taken.len()).await;
        merge(&mut taken, more)?;
    }
    Ok(taken)
}

async fn look(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    run: Option<i64>,
    last: Option<&Lane>,
) -> Result<Found> {
    match run {
        None => all_lanes(connection, &ask.kind, last, &ask.skip_upstreams, limit(ask.limit)).await,
        Some(run) => lanes_of(connection, &ask.kind, run, &ask.skip_upstreams).await,
    }
}

/// An equal share of each lane; where some have less, the others may have more.
async fn take_in_turns(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    lanes: &[LaneOfRun],
) -> Result<Taken> {
    let share = ask.limit.div_ceil(lanes.len());
    let mut taken = take(connection, &ask.kind, lanes, share, ask.limit).await?;
    let rest = ask.limit - taken.len();
    if rest > 0 && share < ask.limit {
        let more = take(connection, &ask.kind, lanes, rest, rest).await;
        merge(&mut taken, more)?;
    }
    Ok(taken)
}

/// What has been taken is committed and must reach its line, even if a later step fails.
fn merge(taken: &mut Taken, more: Result<Taken>) -> Result<()> {
    match more {
        Ok(more) => {
            taken.envelopes.extend(more.envelopes);
            taken.expired.extend(more.expired);
            taken.last = more.last.or(taken.last);
            Ok(())
        }
        Err(fault) if taken.envelopes.is_empty() => Err(fault),
        Err(fault) => {
            taken.in_doubt |= matches!(fault, Fault::InDoubt(_));
            tracing::warn!(error = %Fault::in_words(fault), "a dispatch gave less than it could");
            Ok(())
        }
    }
}

/// From the few that wait, never from the whole backlog.
pub(super) const TWINS_ELSEWHERE: &str = "
    SELECT DISTINCT twin.upstream, twin.run, r.id, r.tenant, twin.n
    FROM queue waiting, LATERAL (SELECT * FROM queue WHERE n = waiting.twin OFFSET 0) twin,
      LATERAL (SELECT id, tenant FROM runs WHERE n = twin.run OFFSET 0) r
    WHERE waiting.state = 2 AND waiting.elsewhere AND waiting.run = $1
      AND twin.state = 0 AND twin.kind = $2 AND twin.run_at <= now() AND twin.upstream <> ALL($3)
    LIMIT $4";

/// Ready jobs of other runs that this run's attached jobs wait for.
async fn twins_elsewhere(
    connection: &mut PgConnection,
    ask: &DispatchAsk,
    run: i64,
    most: usize,
) -> Result<Taken> {
    let rows = sqlx::query(TWINS_ELSEWHERE)
        .bind(run)
        .bind(&ask.kind)
        .bind(&ask.skip_upstreams)
        .bind(limit(most))
        .fetch_all(&mut *connection)
        .await?;
    let mut twins = Vec::with_capacity(rows.len());
    for row in &rows {
        let lane = LaneOfRun {
            lane: Lane { upstream: row.try_get(0)?, run: row.try_get(1)? },
            run_id: RunId::from_bytes(row.try_get::<Uuid, _>(2)?.into_bytes()),
            tenant: row.try_get(3)?,
        };
        twins.push((row.try_get(4)?, lane));
    }
    super::take::take_these(connection, &ask.kind, &twins).await
}
