//! Finding what fell between ledger and line.

use sqlx::PgConnection;

use super::counters::Counters;
use super::end::{End, Ending, end_jobs};
use super::expire::too_late;
use super::fault::Result;
use super::live::{self, Live};
use super::runs::find_run;
use crate::domain::DeadReason;
use crate::ports::{Scope, Swept};

/// Jobs in one transaction at most; the next round takes the rest.
const ROUND: i64 = 5_000;

/// Oldest first. What somebody finishes at this moment is not lost.
pub(super) const LOST: &str = "
    SELECT n, run, key, fence, attempts, losses, withdrawn, state, fresh_ms, calls, input_tokens, output_tokens
    FROM queue WHERE state = 1 AND dispatched_at <= now() - $1 * interval '1 ms'
    ORDER BY dispatched_at LIMIT $2 FOR UPDATE SKIP LOCKED";
pub(super) const LOST_OF_RUN: &str = "
    SELECT n, run, key, fence, attempts, losses, withdrawn, state, fresh_ms, calls, input_tokens, output_tokens
    FROM queue q WHERE state = 1 AND dispatched_at <= now() - $1 * interval '1 ms'
      AND (run = $3 OR EXISTS (SELECT 1 FROM queue waiting
        WHERE waiting.state = 2 AND waiting.elsewhere AND waiting.run = $3 AND waiting.twin = q.n))
    ORDER BY dispatched_at LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Jobs that nobody may hand out are not found by a dispatch. Those that are handed out or end at this moment
/// are passed over.
pub(super) const EXPIRED: &str = "
    SELECT n, run, key, fence, attempts, losses, withdrawn, state, fresh_ms, calls, input_tokens, output_tokens
    FROM queue WHERE state = 0 AND deadline <= now() AND ($1::bigint IS NULL OR run = $1)
    ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Also answers to which jobs others are still attached: see [`Inherited`](super::end::Inherited).
pub(super) async fn sweep(
    connection: &mut PgConnection,
    scope: Scope,
    older_than_ms: i64,
    max_losses: u16,
) -> Result<(Swept, Vec<i64>)> {
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run).await?),
    };
    let query = match run {
        None => sqlx::query(LOST).bind(older_than_ms).bind(ROUND),
        Some(run) => sqlx::query(LOST_OF_RUN).bind(older_than_ms).bind(ROUND).bind(run),
    };
    let lost = query.fetch_all(&mut *connection).await?;
    // Before any is put back: the outcome of one that was lost counts for a while.
    let expired = sqlx::query(EXPIRED).bind(run).bind(ROUND).fetch_all(&mut *connection).await?;
    let mut endings = expired.iter().map(|row| Ok(too_late(live::read(row)?))).collect::<Result<Vec<_>>>()?;
    let mut swept = Swept { expired: endings.len() as u64, ..Swept::default() };
    let mut back = Vec::new();
    for row in &lost {
        let job = live::read(row)?;
        let lost_times = job.losses.saturating_add(1);
        if job.withdrawn {
            endings.push(Ending { job, end: End::Cancelled });
        } else if lost_times >= i32::from(max_losses) {
            swept.crash_looped += 1;
            let error = format!("its process died {lost_times} times while it ran");
            endings.push(Ending { job, end: End::Dead(DeadReason::CrashLoop, error) });
        } else {
            swept.requeued += 1;
            back.push(job);
        }
    }
    requeue(connection, &back).await?;
    let mut counters = Counters::default();
    let inherited = end_jobs(connection, endings, &mut counters).await?;
    swept.expired += inherited.expired;
    counters.apply(connection).await?;
    Ok((swept, inherited.unshared))
}

async fn requeue(connection: &mut PgConnection, lost: &[Live]) -> Result<()> {
    if !lost.is_empty() {
        sqlx::query(
            "UPDATE queue SET state = 0, run_at = now(), losses = losses + 1, dispatched_at = NULL, waits = false
             WHERE n = ANY($1)",
        )
        .bind(lost.iter().map(|job| job.n).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    }
    Ok(())
}
