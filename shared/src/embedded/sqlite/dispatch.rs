//! Taking due jobs and raising their fences.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::codes::{DISPATCHED, READY};
use super::counters::Counters;
use super::fair::take_in_turns;
use super::fault::Result;
use super::lanes::{Lane, all_lanes, lanes_of};
use super::numbers::now_ms;
use super::runs::find_run;
use super::turns;
use super::twins::die;
use crate::domain::{DeadReason, DedupKey, ENVELOPE_VERSION, Envelope, Estimate, JobId, LARGEST_ARGS, RunId};
use crate::ports::{DispatchAsk, Scope};

/// The lane that had the last turn, for each kind.
pub(super) type LastTurns = BTreeMap<String, Option<Lane>>;

/// What a dispatch did.
pub(super) struct Dispatched {
    pub(super) envelopes: Vec<Envelope>,
    /// Jobs whose deadline had passed. Others may take their place, or their run may be finished.
    pub(super) died: usize,
}

/// Takes up to `ask.limit` jobs.
pub(super) fn dispatch(
    connection: &Connection,
    ask: &DispatchAsk,
    last_turns: &mut LastTurns,
) -> Result<Dispatched> {
    let now = now_ms();
    let jobs = take(connection, ask, last_turns, now)?;
    let mut counters = Counters::default();
    let mut envelopes = Vec::with_capacity(jobs.len());
    for n in &jobs {
        envelopes.extend(hand_over(connection, *n, now, &mut counters)?);
    }
    counters.apply(connection)?;
    let died = jobs.len() - envelopes.len();
    Ok(Dispatched { envelopes, died })
}

fn take(
    connection: &Connection,
    ask: &DispatchAsk,
    last_turns: &mut LastTurns,
    now: i64,
) -> Result<Vec<i64>> {
    let run = match ask.scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run)?.n),
    };
    let mut lanes = match run {
        None => all_lanes(connection, &ask.kind)?,
        Some(run) => lanes_of(connection, &ask.kind, run)?,
    };
    lanes.retain(|lane| !ask.skip_upstreams.contains(&lane.upstream));
    let last = last_turns.entry(ask.kind.clone()).or_default();
    if run.is_none() && turns::several_tenants(connection)? {
        return turns::take_by_weight(connection, ask, lanes, last, now);
    }
    let mut jobs = take_in_turns(connection, &ask.kind, lanes, ask.limit, last, now)?;
    if let Some(run) = run {
        let more = ask.limit - jobs.len();
        jobs.extend(twins_elsewhere(connection, ask, run, more, now)?);
    }
    Ok(jobs)
}

/// CROSS JOIN keeps the order of the loops: from the few that wait, never from the whole backlog.
pub(super) const TWINS_ELSEWHERE: &str =
    "SELECT twin.n, twin.upstream FROM jobs waiting CROSS JOIN jobs twin ON twin.n = waiting.twin
     WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?1
       AND twin.state = 0 AND twin.kind = ?2 AND twin.run_at <= ?3
     GROUP BY waiting.twin";

/// Ready jobs of other runs that this run's attached jobs wait for.
fn twins_elsewhere(
    connection: &Connection,
    ask: &DispatchAsk,
    run: i64,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare_cached(TWINS_ELSEWHERE)?;
    let mut rows = query.query(params![run, ask.kind, now])?;
    let mut taken = Vec::new();
    while taken.len() < limit
        && let Some(row) = rows.next()?
    {
        if !ask.skip_upstreams.contains(&row.get(1)?) {
            taken.push(row.get(0)?);
        }
    }
    Ok(taken)
}

/// Why a job died that was never dispatched in time.
pub(super) const LATE: &str = "its deadline passed before it could start";

/// What a message says, without args of more bytes than `$most`.
macro_rules! message {
    (args $most:literal) => {
        concat!(
            "id, (SELECT id FROM runs WHERE runs.n = jobs.run), tenant, kind, fence, attempts,
               max_attempts, deadline, dedup_key, upstream, est_input, est_output,
               (SELECT args FROM job_inputs WHERE job = jobs.n AND length(CAST(args AS BLOB)) <= ",
            $most,
            ")"
        )
    };
}

pub(super) use message;

/// Raises the fence and reads the message. A job whose deadline has passed dies instead.
fn hand_over(
    connection: &Connection,
    n: i64,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<Option<Envelope>> {
    let envelope = connection
        .prepare_cached(concat!(
            "UPDATE jobs SET state = ?2, fence = fence + 1, dispatched_at = ?3
             WHERE n = ?1 AND state = ?4 AND (deadline IS NULL OR deadline > ?3)
             RETURNING ",
            message!(args "?5")
        ))?
        .query_row(
            params![n, DISPATCHED, now, READY, u32::try_from(LARGEST_ARGS).unwrap_or(u32::MAX)],
            |row| read_envelope(row, now),
        )
        .optional()?;
    if envelope.is_none() {
        die(connection, n, DeadReason::DeadlinePassed, LATE, now, counters)?;
    }
    Ok(envelope)
}

pub(super) fn read_envelope(row: &rusqlite::Row<'_>, now: i64) -> rusqlite::Result<Envelope> {
    let upstream: String = row.get(9)?;
    let args = row.get::<_, Option<String>>(12)?.map(RawValue::from_string).transpose().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(12, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(Envelope {
        v: ENVELOPE_VERSION,
        job_id: JobId::from_bytes(row.get(0)?),
        run_id: RunId::from_bytes(row.get(1)?),
        tenant: row.get(2)?,
        kind: row.get(3)?,
        fence: row.get::<_, i64>(4)?.cast_unsigned(),
        attempts: row.get(5)?,
        max_attempts: row.get(6)?,
        deadline_ms: row.get::<_, Option<i64>>(7)?.map(|deadline| (deadline - now).max(0).cast_unsigned()),
        dedup_key: DedupKey::from_bytes(row.get(8)?),
        upstream: (!upstream.is_empty()).then_some(upstream),
        estimate: Estimate {
            input_tokens: row.get::<_, i64>(10)?.cast_unsigned(),
            output_tokens: row.get::<_, i64>(11)?.cast_unsigned(),
        },
        again: false,
        args,
    })
}
