//! A whole run in one transaction: opened, filled and sealed.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::fault::Result;
use super::numbers::for_people;
use super::runs::{known_run, seal_run, uuid_of};
use super::submit::{Ground, add_jobs};
use crate::domain::{NewJob, NewRun};
use crate::ports::{OpenedRun, Seal};

/// The run, sealed, and numbers for its jobs.
const OPEN: &str = "
    WITH opened AS (
      INSERT INTO runs (id, tenant, pipeline, input, idempotency_key, settings, notes, state)
      VALUES ($1, $2, $3, $4, $5, $6, $7, 1) ON CONFLICT (id) DO NOTHING RETURNING n
    )
    SELECT n, ARRAY(SELECT nextval('job_numbers') FROM generate_series(1, $8)) FROM opened";

/// In an open transaction. Repeated with the same id it gives the same answer.
pub(super) async fn submit_run(
    connection: &mut PgConnection,
    run: &NewRun,
    jobs: &[NewJob],
    notes: &Value,
) -> Result<OpenedRun> {
    if let Some(known) = known_run(connection, run).await? {
        return Ok(known);
    }
    let row = sqlx::query(OPEN)
        .bind(uuid_of(run.id))
        .bind(&run.tenant)
        .bind(&run.pipeline)
        .bind(for_people(&run.input))
        .bind(&run.idempotency_key)
        .bind(run.settings.to_string())
        .bind(notes.to_string())
        .bind(i32::try_from(jobs.len()).unwrap_or(i32::MAX))
        .fetch_optional(&mut *connection)
        .await?;
    // Without a row its commit was in doubt, and all of it is there.
    if let Some(row) = row {
        let (n, numbers) = (row.try_get(0)?, row.try_get(1)?);
        let ground =
            Ground { run: n, tenant: run.tenant.clone(), closed: false, known: HashSet::new(), numbers };
        add_jobs(connection, run.id, jobs, &ground).await?;
        if jobs.is_empty() {
            // Nothing else will show that it is finished.
            seal_run(connection, run.id, &Seal { occurrences: Vec::new(), notes: notes.clone() }).await?;
        }
    }
    Ok(OpenedRun { id: run.id, resumed: false })
}
