//! Taking due jobs of lanes: fence raised, message read, in one statement.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::{Result, in_doubt};
use super::lanes::{Lane, LaneOfRun};
use super::query::raw;
use crate::domain::{DedupKey, ENVELOPE_VERSION, Envelope, Estimate, JobId, LARGEST_ARGS, RunId};

/// What a taking brought.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) envelopes: Vec<Envelope>,
    /// Jobs whose deadline has passed: they are to die.
    pub(super) expired: Vec<i64>,
    /// Which lane had the last turn.
    pub(super) last: Option<usize>,
    /// It may have brought more, whose answer was lost.
    pub(super) in_doubt: bool,
}

impl Taken {
    pub(super) fn len(&self) -> usize {
        self.envelopes.len() + self.expired.len()
    }
}

/// What a message says of the row `q` of the queue and its `j` of the jobs, after the job's number.
macro_rules! message {
    (args $most:literal) => {
        concat!(
            "q.n, q.id, q.fence, q.attempts, j.max_attempts,
        (extract(epoch FROM q.deadline - now()) * 1000)::bigint AS deadline_ms,
        j.dedup_key, j.est_input, j.est_output, CASE WHEN octet_length(j.args) <= ",
            $most,
            " THEN j.args END AS args"
        )
    };
}

/// Hands over what is `chosen`, but for what is too late: state and fence of its rows, and what their messages say.
/// Args of more bytes than `$most` stay behind.
macro_rules! hand_over {
    ($first:literal, args $most:literal) => {
        concat!(
            "UPDATE queue q SET state = 1, fence = q.fence + 1, dispatched_at = now()
      FROM chosen c, LATERAL (SELECT * FROM jobs WHERE n = c.n OFFSET 0) j
      WHERE q.n = ANY(ARRAY[c.n]) AND (c.deadline IS NULL OR c.deadline > now())
      RETURNING ",
            $first,
            $crate::postgres::take::message!(args $most)
        )
    };
}

pub(super) use {hand_over, message};

/// `$2, $3, $4`: the lanes; `$5`: jobs of one lane at most; `$6`: of all; `$7`: bytes of args that a message carries.
///
/// A lane's jobs are a range of the index, in their order. What another dispatcher holds at this moment is
/// passed over.
///
/// The commit does not wait for the disk: if a crash of the server undoes it, the jobs are ready
/// again under the same fence, and of two finishes of one fence the ledger takes the first, even
/// before the second dispatch.
pub(super) const TAKE: &str = concat!(
    "
    WITH settings AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
    lane AS MATERIALIZED (
      SELECT turn, upstream, tenant, run FROM settings,
        unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY l (upstream, tenant, run, turn)
    ), due AS MATERIALIZED (
      SELECT lane.turn, q.n, q.priority, q.run_at, q.deadline FROM lane, LATERAL (
        SELECT n, priority, run_at, deadline FROM queue
        WHERE state = 0 AND NOT waits AND kind = $1 AND upstream = lane.upstream AND tenant = lane.tenant
          AND run = lane.run
        ORDER BY priority DESC, run_at, n LIMIT $5 FOR UPDATE SKIP LOCKED) q
    ), ranked AS (
      SELECT turn, n, deadline,
        row_number() OVER (PARTITION BY turn ORDER BY priority DESC, run_at, n) AS rank FROM due
    ), chosen AS MATERIALIZED (
      SELECT turn, n, deadline, rank FROM ranked ORDER BY rank, turn LIMIT $6
    ), taken AS (
      ",
    hand_over!("c.rank, c.turn, ", args "$7"),
    "
    )
    SELECT * FROM taken
    UNION ALL
    SELECT rank, turn, n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM chosen
    WHERE deadline <= now()"
);

pub(super) async fn take(
    connection: &mut PgConnection,
    kind: &str,
    lanes: &[LaneOfRun],
    share: usize,
    limit: usize,
) -> Result<Taken> {
    let rows = sqlx::query(TAKE)
        .bind(kind)
        .bind(lanes.iter().map(|lane| lane.lane.upstream.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.tenant.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.lane.run).collect::<Vec<_>>())
        .bind(super::numbers::limit(share))
        .bind(super::numbers::limit(limit))
        .bind(super::numbers::limit(LARGEST_ARGS))
        .fetch_all(connection)
        .await
        .map_err(in_doubt)?;
    read_all(rows, kind, |turn| &lanes[turn])
}

/// These jobs by number, if they are still ready. `$2` is the last of [`TAKE`].
pub(super) const TAKE_THESE: &str = concat!(
    "
    WITH chosen AS MATERIALIZED (
      SELECT c.turn, q.n, q.deadline FROM unnest($1::bigint[]) WITH ORDINALITY c (n, turn), LATERAL (
        SELECT * FROM queue WHERE n = c.n AND state + 0 = 0 AND (NOT waits OR run_at <= now())
        FOR UPDATE SKIP LOCKED) q
    ), taken AS (
      ",
    hand_over!("1::bigint, c.turn, ", args "$2"),
    "
    )
    SELECT * FROM taken
    UNION ALL
    SELECT 1, turn, n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM chosen
    WHERE deadline <= now()"
);

pub(super) async fn take_these(
    connection: &mut PgConnection,
    kind: &str,
    jobs: &[(i64, LaneOfRun)],
) -> Result<Taken> {
    if jobs.is_empty() {
        return Ok(Taken::default());
    }
    let rows = sqlx::query(TAKE_THESE)
        .bind(jobs.iter().map(|(n, _)| *n).collect::<Vec<_>>())
        .bind(super::numbers::limit(LARGEST_ARGS))
        .fetch_all(connection)
        .await
        .map_err(in_doubt)?;
    let taken = read_all(rows, kind, |turn| &jobs[turn].1)?;
    // They had no turn.
    Ok(Taken { last: None, ..taken })
}

pub(super) fn read_all<'l>(
    mut rows: Vec<PgRow>,
    kind: &str,
    lane_of: impl Fn(usize) -> &'l LaneOfRun,
) -> Result<Taken> {
    rows.sort_unstable_by_key(|row| (row.get::<i64, _>(0), row.get::<i64, _>(1)));
    let mut taken = Taken::default();
    for row in &rows {
        let turn = turn_of(row)?;
        taken.last = Some(turn);
        if row.try_get::<Option<Uuid>, _>(3)?.is_some() {
            taken.envelopes.push(read_envelope(row, kind, lane_of(turn))?);
        } else {
            taken.expired.push(row.try_get(2)?);
        }
    }
    Ok(taken)
}

fn turn_of(row: &PgRow) -> Result<usize> {
    Ok(usize::try_from(row.try_get::<i64, _>(1)? - 1).unwrap_or_default())
}

/// Rows that have lane, tenant and run behind the message: columns 12 to 15.
pub(super) fn read_with_lanes(rows: Vec<PgRow>, kind: &str) -> Result<Taken> {
    let lane = |row: &PgRow| -> Result<(usize, LaneOfRun)> {
        let lane = LaneOfRun {
            lane: Lane { upstream: row.try_get(12)?, run: row.try_get(14)? },
            run_id: RunId::from_bytes(row.try_get::<Uuid, _>(15)?.into_bytes()),
            tenant: row.try_get(13)?,
        };
        Ok((turn_of(row)?, lane))
    };
    let lanes = rows.iter().map(lane).collect::<Result<HashMap<_, _>>>()?;
    let taken = read_all(rows, kind, |turn| &lanes[&turn])?;
    // They had no turn.
    Ok(Taken { last: None, ..taken })
}

/// The columns from the fourth on.
fn read_envelope(row: &PgRow, kind: &str, lane: &LaneOfRun) -> Result<Envelope> {
    let number = |column: usize| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let small = |column: usize| -> Result<u16> {
        Ok(u16::try_from(row.try_get::<i32, _>(column)?).unwrap_or(u16::MAX))
    };
    let key: [u8; 32] = row.try_get(8)?;
    Ok(Envelope {
        v: ENVELOPE_VERSION,
        job_id: JobId::from_bytes(row.try_get::<Uuid, _>(3)?.into_bytes()),
        run_id: lane.run_id,
        tenant: lane.tenant.clone(),
        kind: kind.to_owned(),
        fence: number(4)?,
        attempts: small(5)?,
        max_attempts: small(6)?,
        deadline_ms: row.try_get::<Option<i64>, _>(7)?.map(|left| left.max(0).cast_unsigned()),
        dedup_key: DedupKey::from_bytes(key),
        upstream: (!lane.lane.upstream.is_empty()).then(|| lane.lane.upstream.clone()),
        estimate: Estimate { input_tokens: number(9)?, output_tokens: number(10)? },
        again: false,
        args: row.try_get::<Option<String>, _>(11)?.map(raw).transpose()?,
    })
}
