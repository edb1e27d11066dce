//! Jobs whose deadline passed before they could start.

use sqlx::PgConnection;

use super::counters::Counters;
use super::end::{End, Ending, end_jobs};
use super::fault::Result;
use super::live::{Live, hold};
use crate::domain::DeadReason;

/// The end of a job that was never dispatched in time.
pub(super) fn too_late(job: Live) -> Ending<'static> {
    let error = "its deadline passed before it could start".into();
    Ending { job, end: End::Dead(DeadReason::DeadlinePassed, error) }
}

/// Ends those of them that are still ready. Answers to which of them others are still attached: see
/// [`Inherited`](super::end::Inherited).
pub(super) async fn expire(connection: &mut PgConnection, jobs: &[i64]) -> Result<Vec<i64>> {
    let held = hold(connection, jobs, &[0]).await?;
    let mut counters = Counters::default();
    let inherited = end_jobs(connection, held.into_iter().map(too_late).collect(), &mut counters).await?;
    counters.apply(connection).await?;
    Ok(inherited.unshared)
}
