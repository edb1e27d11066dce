//! Single jobs in depth, facts of results, and which keys have results.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use super::numbers::{key_of, number_of, uuid_of};
use super::query::{raw, value};
use crate::domain::{DedupKey, JobId};
use crate::ports::{FailedAttempt, JobDetail, JobRow};

/// The args of a job, as they were submitted.
pub(super) async fn args(connection: &mut PgConnection, job: JobId) -> Result<Option<Box<RawValue>>> {
    let text: Option<String> = sqlx::query_scalar("SELECT args FROM jobs WHERE n = $1 AND id = $2")
        .bind(number_of(job))
        .bind(uuid_of(job))
        .fetch_optional(connection)
        .await?;
    text.map(raw).transpose()
}

pub(super) async fn job_detail(connection: &mut PgConnection, job: JobId) -> Result<Option<JobDetail>> {
    let Some(args) = args(connection, job).await? else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT fence, floor(extract(epoch FROM at) * 1000)::bigint, error FROM attempts WHERE job = $1 ORDER BY fence",
    )
    .bind(number_of(job))
    .fetch_all(connection)
    .await?;
    let attempts: Result<_> = rows
        .iter()
        .map(|row| {
            Ok(FailedAttempt {
                fence: row.try_get::<i64, _>(0)?.cast_unsigned(),
                at_ms: row.try_get(1)?,
                error: row.try_get(2)?,
            })
        })
        .collect();
    Ok(Some(JobDetail { args, attempts: attempts? }))
}

/// The facts of each job's result, which stands beside it.
pub(super) async fn read_facts(
    connection: &mut PgConnection,
    jobs: &mut [(Option<i64>, JobRow)],
) -> Result<()> {
    let results: HashSet<i64> = jobs.iter().filter_map(|(result, _)| *result).collect();
    let rows = sqlx::query("SELECT result, data::text FROM facts WHERE result = ANY($1) ORDER BY result, i")
        .bind(results.into_iter().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut facts: HashMap<i64, Vec<Value>> = HashMap::new();
    for row in &rows {
        facts.entry(row.try_get(0)?).or_default().push(value(row.try_get(1)?)?);
    }
    for (result, job) in jobs {
        job.facts = result.and_then(|result| facts.get(&result)).cloned().unwrap_or_default();
    }
    Ok(())
}

pub(super) const HAVE_RESULTS: &str = "
    SELECT key FROM dedup
    WHERE key = ANY($1) AND result IS NOT NULL AND (fresh_until IS NULL OR fresh_until > now())";

pub(super) async fn have_results(
    connection: &mut PgConnection,
    tenant: &str,
    kind: &str,
    keys: &[DedupKey],
) -> Result<Vec<bool>> {
    let keys: Vec<Uuid> = keys.iter().map(|key| key_of(tenant, kind, key)).collect();
    let found: Vec<Uuid> = sqlx::query_scalar(HAVE_RESULTS).bind(&keys).fetch_all(connection).await?;
    let found: HashSet<Uuid> = found.into_iter().collect();
    Ok(keys.iter().map(|key| found.contains(key)).collect())
}
