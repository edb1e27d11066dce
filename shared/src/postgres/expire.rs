//! Jobs whose deadline passed before they could start.

use sqlx::PgConnection;

use super::counters::Counters;
use super::end::{End, Ending, end_jobs};
use super::fault::Result;
use super::live::hold;
use crate::domain::DeadReason;

/// Ends those of them that are still ready.
pub(super) async fn expire(connection: &mut PgConnection, jobs: &[i64]) -> Result<()> {
    let error = "its deadline passed before it could start";
    let held = hold(connection, jobs, &[0]).await?;
    let end = |job| Ending { job, end: End::Dead(DeadReason::DeadlinePassed, error.into()) };
    let mut counters = Counters::default();
    end_jobs(connection, held.into_iter().map(end).collect(), &mut counters).await?;
    counters.apply(connection).await?;
    Ok(())
}
