//! Dead jobs sent again, as new jobs of a new run: terminal states never change.

use std::time::Duration;

use rusqlite::{Connection, Row, params, types::Type};
use serde_json::value::RawValue;

use super::codes::{DEAD, RUN_RUNNING};
use super::connection::now_ms;
use super::counters::{self, Counters};
use super::submit::{RunRef, add_job, find_run, open_run};
use crate::domain::{DedupKey, Estimate, JobId, NewJob, NewRun};
use crate::ports::{Added, DeadJobs};

pub(super) fn redrive(connection: &Connection, which: &DeadJobs, into: &NewRun) -> rusqlite::Result<u64> {
    let dead = find(connection, which)?;
    if dead.is_empty() {
        return Ok(0);
    }
    open_run(connection, into)?;
    let run = RunRef { n: find_run(connection, into.id)?.n, tenant: into.tenant.clone() };
    let mut counters = Counters::default();
    let mut added = Added::default();
    for (seq, n) in (0..).zip(&dead) {
        let job = read(connection, *n, seq)?;
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

fn find(connection: &Connection, which: &DeadJobs) -> rusqlite::Result<Vec<i64>> {
    let all = "SELECT n FROM jobs WHERE state = 4 AND redriven_as IS NULL";
    match which {
        DeadJobs::All => connection.prepare_cached(all)?.query_map([], |row| row.get(0))?.collect(),
        DeadJobs::Run(run) => connection
            .prepare_cached(&format!("{all} AND run = (SELECT n FROM runs WHERE id = ?1)"))?
            .query_map([run.as_bytes()], |row| row.get(0))?
            .collect(),
        DeadJobs::Jobs(jobs) => find_these(connection, all, jobs),
    }
}

fn find_these(connection: &Connection, all: &str, jobs: &[JobId]) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare_cached(&format!("{all} AND id = ?1"))?;
    let mut found = Vec::new();
    for job in jobs {
        for n in query.query_map([job.as_bytes()], |row| row.get(0))? {
            found.push(n?);
        }
    }
    Ok(found)
}

fn read(connection: &Connection, n: i64, seq: u64) -> rusqlite::Result<NewJob> {
    connection
        .prepare_cached(
            "SELECT kind, args, dedup_key, priority, upstream, est_input, est_output, source, occurrences,
               max_attempts, fresh_for, deadline - created_at
             FROM jobs JOIN job_inputs ON job = n WHERE n = ?1 AND state = ?2",
        )?
        .query_row(params![n, DEAD], |row| read_job(row, seq))
}

fn read_job(row: &Row<'_>, seq: u64) -> rusqlite::Result<NewJob> {
    let bad_json = |column, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    };
    let millis = |column| {
        row.get::<_, Option<i64>>(column)
            .map(|ms| ms.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    };
    let upstream: String = row.get(4)?;
    Ok(NewJob {
        seq: Some(seq),
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
