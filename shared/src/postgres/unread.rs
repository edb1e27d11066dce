//! Runs whose input is read, and those whose reader is gone.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::PostgresLedger;
use super::fault::{Fault, Result};
use super::numbers::to_ms;
use super::retry::perform;
use super::runs::uuid_of;
use crate::domain::{IfLeft, PortError, RunId};
use crate::ports::New;
use crate::rules::notes_of_left;

/// Runs that one statement ends.
const ROUND: usize = 100;

impl PostgresLedger {
    /// The jobs of one that is cancelled end in transactions of their own: what fails, a sweep goes on with. Answers
    /// with the first fault.
    pub(super) async fn end_all_left(&self, silent_for: Duration) -> std::result::Result<u64, PortError> {
        let (mut ended, mut first) = (0, None);
        loop {
            let left = perform!(self, connection => end(&mut connection, silent_for));
            let left = left.map_err(Fault::in_words)?;
            for run in &left {
                tracing::warn!(run = %run.id, cancelled = run.cancelled, "it was left by whoever read its input");
                if run.cancelled
                    && let Err(fault) = self.cancel_jobs_of(run.n).await
                {
                    first.get_or_insert(fault.in_words());
                }
            }
            ended += left.len() as u64;
            if left.len() < ROUND {
                break;
            }
        }
        if ended > 0 {
            self.changes.raise(New::Moves);
        }
        first.map_or(Ok(ended), Err)
    }
}

pub(super) async fn still_reading(connection: &mut PgConnection, run: RunId, if_left: IfLeft) -> Result<()> {
    sqlx::query("UPDATE runs SET read_at = now(), if_left = $2 WHERE id = $1 AND state = 0")
        .bind(uuid_of(run))
        .bind(code(if_left))
        .execute(connection)
        .await?;
    Ok(())
}

fn code(if_left: IfLeft) -> i16 {
    match if_left {
        IfLeft::Sealed => 0,
        IfLeft::Cancelled => 1,
    }
}

/// A run that has ended, or will when its jobs are cancelled.
struct Left {
    n: i64,
    id: Uuid,
    cancelled: bool,
}

/// Redrives have a reader of another sort: see [`redrive`](super::redrive). Whoever says at this moment that it is
/// read holds its row.
pub(super) const END: &str = "
    UPDATE runs SET state = 1, idempotency_key = NULL, notes = CASE if_left WHEN 1 THEN $2 ELSE $3 END,
      cancelling = if_left = 1, cancelled_at = CASE if_left WHEN 1 THEN now() END
    WHERE n = ANY(ARRAY(
      SELECT n FROM runs WHERE state = 0 AND coalesce(read_at, created_at) <= now() - $1 * interval '1 ms'
        AND NOT EXISTS (SELECT FROM redriving WHERE run = runs.n)
      ORDER BY n LIMIT $4 FOR UPDATE SKIP LOCKED))
    RETURNING n, id, cancelled_at IS NOT NULL";

async fn end(connection: &mut PgConnection, silent_for: Duration) -> Result<Vec<Left>> {
    let notes = |if_left| notes_of_left(silent_for, if_left).to_string();
    let rows = sqlx::query(END)
        .bind(to_ms(silent_for))
        .bind(notes(IfLeft::Cancelled))
        .bind(notes(IfLeft::Sealed))
        .bind(i64::try_from(ROUND).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let left = |row: &sqlx::postgres::PgRow| {
        Ok(Left { n: row.try_get(0)?, id: row.try_get(1)?, cancelled: row.try_get(2)? })
    };
    rows.iter().map(left).collect()
}
