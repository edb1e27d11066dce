//! Which analysers jobs ask for in their args.

use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Result;
use super::redrive;
use super::runs::find_run;
use crate::domain::{AnalyserRef, RunId};
use crate::ports::DeadJobs;

/// Of the run's jobs that are not terminal.
pub(super) fn of_run(connection: &Connection, run: RunId) -> Result<Vec<(String, AnalyserRef)>> {
    let mut query = connection.prepare_cached(
        "SELECT DISTINCT kind, args -> '$.analyser' FROM jobs JOIN job_inputs ON job = n
         WHERE run = ?1 AND finished_at IS NULL",
    )?;
    let found = query.query_map([find_run(connection, run)?.n], asked)?;
    Ok(found.filter_map(std::result::Result::transpose).collect::<rusqlite::Result<_>>()?)
}

/// Of the dead jobs that a redrive would send again.
pub(super) fn of_dead(
    connection: &Connection,
    which: &DeadJobs,
    tenant: &str,
) -> Result<Vec<(String, AnalyserRef)>> {
    let mut query = connection.prepare_cached(
        "SELECT kind, args -> '$.analyser' FROM jobs JOIN job_inputs ON job = n WHERE n = ?1",
    )?;
    let mut found = Vec::new();
    for n in redrive::find(connection, which, tenant)? {
        let asked = query.query_row([n], asked).optional()?.flatten();
        if let Some(asked) = asked.filter(|asked| !found.contains(asked)) {
            found.push(asked);
        }
    }
    Ok(found)
}

/// `None`: its kind knows no analysers.
fn asked(row: &Row<'_>) -> rusqlite::Result<Option<(String, AnalyserRef)>> {
    let (kind, analyser): (String, Option<String>) = (row.get(0)?, row.get(1)?);
    Ok(analyser.and_then(|json| Some((kind, serde_json::from_str(&json).ok()?))))
}
