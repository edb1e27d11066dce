//! Dead jobs sent again, as new jobs of a new run: terminal states never change.

use std::time::Duration;

use rusqlite::{Connection, Row, params, types::Type};
use serde_json::value::RawValue;

use super::codes::{DEAD, RUN_RUNNING};
use super::counters::{self, Counters};
use super::fault::Result;
use super::numbers::now_ms;
use super::runs::{RunRef, find_run, insert_run};
use super::submit::add_job;
use crate::domain::{DedupKey, Estimate, JobId, NewJob, NewRun};
use crate::ports::{Added, DeadJobs};

pub(super) fn redrive(connection: &Connection, which: &DeadJobs, into: &NewRun) -> Result<u64> {
    let dead = find(connection, which, &into.tenant)?;
    if dead.is_empty() {
        return Ok(0);
    }
    insert_run(connection, into)?;
    let run = RunRef { n: connection.last_insert_rowid(), tenant: into.tenant.clone() };
    let mut counters = Counters::default();
    let mut added = Added::default();
    for n in &dead {
        let job = read(connection, *n)?;
        add_job(connection, &run, &job, &mut counters, &mut added)?;
        connection
            .prepare_cached("UPDATE jobs SET redriven_as = ?2 WHERE n = ?1")?
            .execute(params![n, run.n])?;
    }
    counters.apply(connection)?;
    connection.execute("UPDATE runs SET state = ?2 WHERE n = ?1", params![run.n, RUN_RUNNING])?;
    counters::finish_run_if_done(connection, run.n, now_ms())?;
    Ok(dead.len() as u64)
}

pub(super) const ALL_DEAD: &str =
    "SELECT n FROM jobs WHERE state = 4 AND redriven_as IS NULL AND tenant = ?1 ORDER BY n";
const DEAD_OF_RUN: &str = "SELECT n FROM jobs WHERE state = 4 AND redriven_as IS NULL AND tenant = ?1
       AND run = ?2 ORDER BY n";
const DEAD_ONE: &str = "SELECT n FROM jobs WHERE state = 4 AND redriven_as IS NULL AND tenant = ?1
       AND id = ?2";

/// The dead jobs of a tenant that were not sent again before.
pub(super) fn find(connection: &Connection, which: &DeadJobs, tenant: &str) -> Result<Vec<i64>> {
    let found: rusqlite::Result<Vec<i64>> = match which {
        DeadJobs::All => {
            connection.prepare_cached(ALL_DEAD)?.query_map([tenant], |row| row.get(0))?.collect()
        }
        DeadJobs::Run(run) => connection
            .prepare_cached(DEAD_OF_RUN)?
            .query_map(params![tenant, find_run(connection, *run)?.n], |row| row.get(0))?
            .collect(),
        DeadJobs::Jobs(jobs) => find_these(connection, jobs, tenant),
    };
    Ok(found?)
}

fn find_these(connection: &Connection, jobs: &[JobId], tenant: &str) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare_cached(DEAD_ONE)?;
    let mut found = Vec::new();
    for job in jobs {
        for n in query.query_map(params![tenant, job.as_bytes()], |row| row.get(0))? {
            found.push(n?);
        }
    }
    // A job that is named twice is sent again once.
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn read(connection: &Connection, n: i64) -> rusqlite::Result<NewJob> {
    connection
        .prepare_cached(
            "SELECT kind, args, dedup_key, priority, upstream, est_input, est_output, source, occurrences,
               max_attempts, fresh_for, deadline - created_at
             FROM jobs JOIN job_inputs ON job = n WHERE n = ?1 AND state = ?2",
        )?
        .query_row(params![n, DEAD], read_job)
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<NewJob> {
    let bad_json = |column, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    };
    let millis = |column| {
        row.get::<_, Option<i64>>(column)
            .map(|ms| ms.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    };
    let upstream: String = row.get(4)?;
    Ok(NewJob {
        seq: None,
        kind: row.get(0)?,
        args: RawValue::from_string(row.get(1)?).map_err(|error| bad_json(1, error))?,
        dedup_key: DedupKey::from_bytes(row.get(2)?),
        priority: row.get(3)?,
        upstream: (!upstream.is_empty()).then_some(upstream),
        estimate: Estimate {
            input_tokens: row.get::<_, i64>(5)?.cast_unsigned(),
            output_tokens: row.get::<_, i64>(6)?.cast_unsigned(),
        },
        source: serde_json::from_str(row.get_ref(7)?.as_str()?).map_err(|error| bad_json(7, error))?,
        occurrences: row.get::<_, i64>(8)?.cast_unsigned(),
        max_attempts: row.get(9)?,
        fresh_for: millis(10)?,
        deadline: millis(11)?,
    })
}
