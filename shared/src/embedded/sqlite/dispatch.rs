//! Taking due jobs, fairly over runs.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::codes::{DISPATCHED, READY};
use super::connection::now_ms;
use super::counters::Counters;
use super::finish::die;
use super::lanes::{Lane, all_lanes, earlier, lanes_of, next_due_of_lane, take_from_lane};
use crate::domain::{DeadReason, DedupKey, ENVELOPE_VERSION, Envelope, Estimate, JobId, RunId};
use crate::ports::{DispatchAsk, Scope};

/// Takes up to `ask.limit` jobs. `last_run` is where the last round ended; the next one starts
/// behind it, so that rounds of one job are fair too.
pub(super) fn dispatch(
    connection: &Connection,
    ask: &DispatchAsk,
    last_run: &mut i64,
) -> rusqlite::Result<Vec<Envelope>> {
    let now = now_ms();
    let mut jobs = match ask.scope {
        Scope::All => take_round_robin(connection, ask, all_lanes(connection, &ask.kind)?, last_run, now)?,
        Scope::Run(run) => {
            let lanes = lanes_of(connection, &ask.kind, run)?;
            take_round_robin(connection, ask, lanes, last_run, now)?
        }
    };
    if let Scope::Run(run) = ask.scope {
        let more = ask.limit.saturating_sub(jobs.len());
        jobs.extend(twins_elsewhere(connection, ask, run, more, now)?);
    }
    let mut counters = Counters::default();
    let mut envelopes = Vec::with_capacity(jobs.len());
    for n in jobs {
        envelopes.extend(hand_over(connection, n, now, &mut counters)?);
    }
    counters.apply(connection)?;
    Ok(envelopes)
}

fn take_round_robin(
    connection: &Connection,
    ask: &DispatchAsk,
    mut lanes: Vec<Lane>,
    last_run: &mut i64,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    lanes.retain(|lane| !ask.skip_upstreams.contains(&lane.upstream));
    lanes.sort_by_key(|lane| lane.run);
    let start = lanes.partition_point(|lane| lane.run <= *last_run);
    let count = lanes.len().max(1);
    lanes.rotate_left(start % count);

    let share = ask.limit.div_ceil(count);
    let mut backlogs = gather(connection, ask, &lanes, share, now)?;
    if backlogs.iter().map(|(_, jobs)| jobs.len()).sum::<usize>() < ask.limit && share < ask.limit {
        // Some lanes have less than their share: the others may have more.
        backlogs = gather(connection, ask, &lanes, ask.limit, now)?;
    }
    Ok(interleave(backlogs, ask.limit, last_run))
}

/// Up to `share` jobs of each lane, from the first on, until there are enough.
fn gather(
    connection: &Connection,
    ask: &DispatchAsk,
    lanes: &[Lane],
    share: usize,
    now: i64,
) -> rusqlite::Result<Vec<(i64, Vec<i64>)>> {
    let mut backlogs = Vec::new();
    let mut gathered = 0;
    for lane in lanes {
        let jobs = take_from_lane(connection, &ask.kind, lane, share, now)?;
        gathered += jobs.len();
        backlogs.push((lane.run, jobs));
        if share < ask.limit && gathered >= ask.limit {
            break;
        }
    }
    Ok(backlogs)
}

/// One job of each run in turn.
fn interleave(backlogs: Vec<(i64, Vec<i64>)>, limit: usize, last_run: &mut i64) -> Vec<i64> {
    let mut backlogs: Vec<_> = backlogs.into_iter().map(|(run, jobs)| (run, jobs.into_iter())).collect();
    let mut taken = Vec::with_capacity(limit);
    while taken.len() < limit && backlogs.iter().any(|(_, jobs)| jobs.len() > 0) {
        for (run, jobs) in &mut backlogs {
            if taken.len() < limit
                && let Some(job) = jobs.next()
            {
                taken.push(job);
                *last_run = *run;
            }
        }
    }
    taken
}

/// Ready jobs of other runs that this run's attached jobs wait for.
fn twins_elsewhere(
    connection: &Connection,
    ask: &DispatchAsk,
    run: RunId,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    let run = super::submit::find_run(connection, run)?.n;
    let mut query = connection.prepare_cached(
        "SELECT DISTINCT twin.n, twin.upstream FROM jobs waiting JOIN jobs twin ON twin.n = waiting.twin
         WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?1
           AND twin.state = 0 AND twin.kind = ?2 AND twin.run_at <= ?3",
    )?;
    let rows =
        query.query_map(params![run, ask.kind, now], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut taken = Vec::new();
    for row in rows {
        let (n, upstream) = row?;
        if taken.len() < limit && !ask.skip_upstreams.contains(&upstream) {
            taken.push(n);
        }
    }
    Ok(taken)
}

/// Raises the fence and reads the message. A job whose deadline has passed dies instead.
fn hand_over(
    connection: &Connection,
    n: i64,
    now: i64,
    counters: &mut Counters,
) -> rusqlite::Result<Option<Envelope>> {
    let envelope = connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, fence = fence + 1, dispatched_at = ?3
             WHERE n = ?1 AND state = ?4 AND (deadline IS NULL OR deadline > ?3)
             RETURNING id, (SELECT id FROM runs WHERE runs.n = jobs.run), tenant, kind, fence, attempts,
               max_attempts, deadline, dedup_key, upstream, est_input, est_output,
               (SELECT args FROM job_inputs WHERE job = jobs.n)",
        )?
        .query_row(params![n, DISPATCHED, now, READY], |row| read_envelope(row, now))
        .optional()?;
    if envelope.is_none() {
        die(
            connection,
            n,
            DeadReason::DeadlinePassed,
            "its deadline passed before it could start",
            now,
            counters,
        )?;
    }
    Ok(envelope)
}

fn read_envelope(row: &rusqlite::Row<'_>, now: i64) -> rusqlite::Result<Envelope> {
    let upstream: String = row.get(9)?;
    let args = RawValue::from_string(row.get(12)?).map_err(|error| {
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
        args,
    })
}

/// Milliseconds until the next job that is not due yet.
pub(super) fn next_due(connection: &Connection, scope: Scope) -> rusqlite::Result<Option<i64>> {
    let now = now_ms();
    let only = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(super::submit::find_run(connection, run)?.n),
    };
    let mut kinds = connection
        .prepare_cached("SELECT kind FROM jobs WHERE state = 0 AND kind > ?1 ORDER BY kind LIMIT 1")?;
    let mut soonest = None;
    let mut kind = String::new();
    while let Some(next) = kinds.query_row([&kind], |row| row.get::<_, String>(0)).optional()? {
        kind = next;
        // Other runs' lanes are looked at too: this one may wait for a twin there.
        for lane in all_lanes(connection, &kind)? {
            let of_scope = only.is_none_or(|run| run == lane.run) || waits_for(connection, only, lane.run)?;
            if of_scope {
                soonest = earlier(soonest, next_due_of_lane(connection, &kind, &lane, now)?);
            }
        }
    }
    Ok(soonest.map(|at| (at - now).max(0)))
}

fn waits_for(connection: &Connection, run: Option<i64>, other: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM jobs waiting JOIN jobs twin ON twin.n = waiting.twin
             WHERE waiting.state = 2 AND waiting.twin_elsewhere = 1 AND waiting.run = ?1
               AND twin.run = ?2 AND twin.state = 0 LIMIT 1",
        )?
        .exists(params![run, other])
}
