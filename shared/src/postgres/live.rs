//! Rows of the queue that a step holds and is about to end or to put back.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use crate::domain::Usage;

/// A job whose row of the queue this transaction holds.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) n: i64,
    pub(super) run: i64,
    pub(super) key: Uuid,
    pub(super) fence: i64,
    pub(super) attempts: i32,
    pub(super) losses: i32,
    pub(super) withdrawn: bool,
    pub(super) fresh_ms: Option<i64>,
    pub(super) usage: Usage,
}

/// Reads the columns of a statement that begins with `SELECT q.*` or the like.
pub(super) fn read(row: &PgRow) -> Result<Live> {
    let count = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(Live {
        n: row.try_get("n")?,
        run: row.try_get("run")?,
        key: row.try_get("key")?,
        fence: row.try_get("fence")?,
        attempts: row.try_get("attempts")?,
        losses: row.try_get("losses")?,
        withdrawn: row.try_get("withdrawn")?,
        fresh_ms: row.try_get("fresh_ms")?,
        usage: Usage {
            calls: count("calls")?,
            input_tokens: count("input_tokens")?,
            output_tokens: count("output_tokens")?,
        },
    })
}

/// Of these jobs those in one of the states, held. What another step holds at this moment is waited
/// for. In order of numbers, as everybody does it.
pub(super) const HOLD: &str = "
    SELECT q.n, q.run, q.key, q.fence, q.attempts, q.losses, q.withdrawn, q.state, q.fresh_ms, q.calls,
      q.input_tokens, q.output_tokens
    FROM unnest($1::bigint[]) h (n),
      LATERAL (SELECT * FROM queue WHERE n = h.n AND state = ANY($2::smallint[]) FOR UPDATE) q";

pub(super) async fn hold(connection: &mut PgConnection, jobs: &[i64], states: &[i16]) -> Result<Vec<Live>> {
    let mut jobs = jobs.to_vec();
    jobs.sort_unstable();
    // Two takings of one dispatch may have found the same job.
    jobs.dedup();
    let rows = sqlx::query(HOLD).bind(jobs).bind(states).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}
