//! A whole run in one transaction: opened, filled and sealed.

use serde_json::Value;
use sqlx::PgConnection;

use super::fault::Result;
use super::lone;
use super::runs::{insert_run, known_run, seal_run};
use super::submit::{Ground, add_jobs};
use crate::domain::{JobId, NewJob, NewRun};
use crate::ports::OpenedRun;

/// A run that is submitted.
pub(super) struct Submitted {
    pub(super) run: OpenedRun,
    /// Which of its jobs are handed out, with their ids. `None`: it was there already.
    pub(super) handed_out: Option<Vec<(usize, JobId)>>,
}

/// In an open transaction. Repeated with the same id it gives the same run. `goes`: as that of [`lone::submit`].
pub(super) async fn submit_run(
    connection: &mut PgConnection,
    run: &NewRun,
    jobs: &[NewJob],
    notes: &Value,
    goes: &[bool],
) -> Result<Submitted> {
    if let Some(known) = known_run(connection, run).await? {
        return Ok(Submitted { run: known, handed_out: None });
    }
    let mut handed_out = None;
    if lone::is_small(jobs) {
        handed_out = lone::submit(connection, run, jobs, notes, goes).await?;
    } else if let Some((n, numbers)) = insert_run(connection, run, Some(notes), jobs.len()).await? {
        let ground = Ground::of_new_run(n, &run.tenant, numbers);
        add_jobs(connection, run.id, jobs, &ground).await?;
        if jobs.is_empty() {
            // Nothing else will show that it is finished.
            seal_run(connection, run.id, notes).await?;
        }
    }
    // If it was there already its commit was in doubt, and all of it is there.
    Ok(Submitted { run: OpenedRun { id: run.id, resumed: false }, handed_out })
}
