//! Dead jobs sent again, as new jobs of a new run: terminal states never change.

use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::counters::Counters;
use super::fault::{Fault, Result};
use super::numbers::{key_of, number_of, uuid_of};
use super::runs::{find_run, insert_run};
use super::submit::{Birth, bear};
use crate::domain::{DedupKey, Estimate, NewJob, NewRun};
use crate::ports::{Added, DeadJobs};

/// Jobs read and inserted at a time.
const BATCH: usize = 1000;

/// In one transaction.
pub(super) async fn redrive(connection: &mut PgConnection, which: &DeadJobs, into: &NewRun) -> Result<u64> {
    let dead = find(connection, which, &into.tenant).await?;
    if dead.is_empty() {
        return Ok(0);
    }
    let Some((run, _)) = insert_run(connection, into, None, 0).await? else {
        return Err(Fault::Invalid(format!(
            "there is a run {} already: give the new one an id of its own",
            into.id
        )));
    };
    let mut counters = Counters::default();
    for batch in successors(connection, &dead, &into.tenant).await?.chunks_mut(BATCH) {
        batch.sort_unstable_by_key(|successor| successor.of);
        let jobs = read(connection, batch).await?;
        let births: Vec<Birth<'_>> = batch
            .iter()
            .zip(&jobs)
            .map(|(Successor { n, key, .. }, job)| Birth { n: *n, run, tenant: &into.tenant, key: *key, job })
            .collect();
        bear(connection, &births, &mut counters, &mut Added::default()).await?;
    }
    sqlx::query("UPDATE endings SET redriven_as = $2 WHERE n = ANY($1)")
        .bind(&dead)
        .bind(run)
        .execute(&mut *connection)
        .await?;
    counters.apply(connection).await?;
    sqlx::query("UPDATE runs SET state = 1 WHERE n = $1").bind(run).execute(connection).await?;
    Ok(dead.len() as u64)
}

/// How many jobs went into the run, after a commit in doubt.
pub(super) async fn redriven(connection: &mut PgConnection, into: &NewRun) -> Result<Option<u64>> {
    let jobs: Option<i64> = sqlx::query_scalar("SELECT jobs FROM runs WHERE id = $1")
        .bind(super::runs::uuid_of(into.id))
        .fetch_optional(connection)
        .await?;
    Ok(jobs.map(i64::cast_unsigned))
}

pub(super) const ALL_DEAD: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 ORDER BY e.n FOR NO KEY UPDATE OF e";
pub(super) const DEAD_OF_RUN: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 AND e.run = $2
    ORDER BY e.n FOR NO KEY UPDATE OF e";
const DEAD_ONES: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 AND e.n IN (
      SELECT j.n FROM unnest($2::bigint[], $3::uuid[]) d (n, id) JOIN jobs j ON j.n = d.n AND j.id = d.id)
    ORDER BY e.n FOR NO KEY UPDATE OF e";

async fn find(connection: &mut PgConnection, which: &DeadJobs, tenant: &str) -> Result<Vec<i64>> {
    let query = match which {
        DeadJobs::All => sqlx::query_scalar(ALL_DEAD).bind(tenant),
        DeadJobs::Run(run) => {
            let run = find_run(connection, *run).await?;
            sqlx::query_scalar(DEAD_OF_RUN).bind(tenant).bind(run)
        }
        DeadJobs::Jobs(jobs) => sqlx::query_scalar(DEAD_ONES)
            .bind(tenant)
            .bind(jobs.iter().map(|job| number_of(*job)).collect::<Vec<_>>())
            .bind(jobs.iter().map(|job| uuid_of(*job)).collect::<Vec<_>>()),
    };
    Ok(query.fetch_all(connection).await?)
}

/// The job that a dead one becomes.
struct Successor {
    key: Uuid,
    of: i64,
    n: i64,
}

/// Of all of them, in order of keys: batches claim their keys one after the other, and each waits for whoever
/// holds one, so all must be in the order in which everybody claims. Their numbers are in the order of the dead.
async fn successors(connection: &mut PgConnection, dead: &[i64], tenant: &str) -> Result<Vec<Successor>> {
    let mut successors = Vec::with_capacity(dead.len());
    for batch in dead.chunks(BATCH) {
        let rows = sqlx::query(
            "SELECT nextval('job_numbers') AS new, o.* FROM (
               SELECT n, kind, dedup_key FROM jobs WHERE n = ANY($1) ORDER BY n OFFSET 0) o",
        )
        .bind(batch)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let key = key_of(tenant, row.try_get("kind")?, &DedupKey::from_bytes(row.try_get("dedup_key")?));
            successors.push(Successor { key, of: row.try_get("n")?, n: row.try_get("new")? });
        }
    }
    // Of twins the oldest first: the others are attached to it.
    successors.sort_unstable_by_key(|successor| (successor.key, successor.of));
    Ok(successors)
}

/// The dead jobs as they were submitted, in order of their numbers.
async fn read(connection: &mut PgConnection, successors: &[Successor]) -> Result<Vec<NewJob>> {
    let rows = sqlx::query(
        "SELECT kind, args, dedup_key, priority, upstream, est_input, est_output, source, occurrences,
           max_attempts, fresh_ms, deadline_ms
         FROM jobs WHERE n = ANY($1) ORDER BY n",
    )
    .bind(successors.iter().map(|successor| successor.of).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_job).collect()
}

fn read_job(row: &PgRow) -> Result<NewJob> {
    let decode = |error: serde_json::Error| Fault::Database(sqlx::Error::Decode(error.into()));
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let millis = |column: &str| {
        row.try_get::<Option<i64>, _>(column)
            .map(|ms| ms.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    };
    let upstream: String = row.try_get("upstream")?;
    Ok(NewJob {
        seq: None,
        kind: row.try_get("kind")?,
        args: RawValue::from_string(row.try_get("args")?).map_err(decode)?,
        dedup_key: DedupKey::from_bytes(row.try_get("dedup_key")?),
        priority: row.try_get("priority")?,
        upstream: (!upstream.is_empty()).then_some(upstream),
        estimate: Estimate { input_tokens: number("est_input")?, output_tokens: number("est_output")? },
        source: serde_json::from_str(row.try_get("source")?).map_err(decode)?,
        occurrences: number("occurrences")?,
        max_attempts: u16::try_from(row.try_get::<i32, _>("max_attempts")?).unwrap_or(u16::MAX),
        fresh_for: millis("fresh_ms")?,
        deadline: millis("deadline_ms")?,
    })
}
