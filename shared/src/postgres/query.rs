//! What people and reports read.

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::codes::{dead_reason, job_state, run_state};
use super::fault::{Fault, Result};
use super::numbers::{limit, number_ending, number_of, numbers_apart, uuid_of};
use super::runs;
use crate::domain::{DedupKey, JobId, JobState, RunCounts, RunId, Usage};
use crate::ports::{JobFilter, JobRow, Page, RunRow};

macro_rules! run_rows {
    ($condition:literal) => {
        concat!(
            "SELECT n, id, tenant, pipeline, input, state, settings, notes,
               floor(extract(epoch FROM created_at) * 1000)::bigint AS created_at,
               floor(extract(epoch FROM finished_at) * 1000)::bigint AS finished_at,
               floor(extract(epoch FROM cancelled_at) * 1000)::bigint AS cancelled_at,
               jobs, occurrences, succeeded, reused, dead, cancelled, retries, calls, input_tokens, output_tokens
             FROM runs WHERE ",
            $condition
        )
    };
}

pub(super) async fn runs(
    connection: &mut PgConnection,
    tenant: Option<&str>,
    page: Page,
) -> Result<Vec<RunRow>> {
    let query = match tenant {
        None => sqlx::query(run_rows!("n < $1 ORDER BY n DESC LIMIT $2")),
        Some(tenant) => {
            sqlx::query(run_rows!("tenant = $1 AND n < $2 ORDER BY n DESC LIMIT $3")).bind(tenant)
        }
    };
    let before = if page.after == 0 { i64::MAX } else { page.after };
    query.bind(before).bind(limit(page.limit)).fetch_all(connection).await?.iter().map(read_run).collect()
}

pub(super) async fn run(connection: &mut PgConnection, id: RunId) -> Result<Option<RunRow>> {
    let query = sqlx::query(run_rows!("id = $1")).bind(runs::uuid_of(id));
    query.fetch_optional(connection).await?.as_ref().map(read_run).transpose()
}

fn read_run(row: &PgRow) -> Result<RunRow> {
    let count = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(RunRow {
        position: row.try_get("n")?,
        id: RunId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
        tenant: row.try_get("tenant")?,
        pipeline: row.try_get("pipeline")?,
        input: row.try_get("input")?,
        state: run_state(row.try_get("state")?).ok_or_else(unknown_code)?,
        settings: json(row.try_get("settings")?)?,
        notes: json(row.try_get("notes")?)?,
        created_at_ms: row.try_get("created_at")?,
        finished_at_ms: row.try_get("finished_at")?,
        cancelled_at_ms: row.try_get("cancelled_at")?,
        counts: RunCounts {
            jobs: count("jobs")?,
            occurrences: count("occurrences")?,
            succeeded: count("succeeded")?,
            reused: count("reused")?,
            dead: count("dead")?,
            cancelled: count("cancelled")?,
            retries: count("retries")?,
            usage: Usage {
                calls: count("calls")?,
                input_tokens: count("input_tokens")?,
                output_tokens: count("output_tokens")?,
            },
        },
    })
}

/// Where the numbers of a page come from, as `p`, and its condition on the state. A state as a literal
/// asks for its partial index; `+ 0` keeps it away where the order of numbers is what counts.
fn source_of(filter: &JobFilter) -> (&'static str, String) {
    let Some(state) = filter.state else { return ("jobs p", String::new()) };
    let code = state as i16;
    let of_run = filter.run.is_some();
    match state {
        JobState::Dead => ("endings p", format!("AND p.state = {code}")),
        JobState::Dispatched if !of_run => ("queue p", format!("AND p.state = {code}")),
        JobState::Ready | JobState::Attached if !of_run => ("queue p", format!("AND p.state + 0 = {code}")),
        JobState::Succeeded | JobState::Cancelled if !of_run => {
            ("endings p", format!("AND p.state = {code}"))
        }
        JobState::Succeeded | JobState::Cancelled => (
            "jobs p, LATERAL (SELECT state FROM endings WHERE n = p.n OFFSET 0) e",
            format!("AND e.state = {code}"),
        ),
        JobState::Ready | JobState::Dispatched | JobState::Attached => (
            "jobs p, LATERAL (SELECT state FROM queue WHERE n = p.n OFFSET 0) q",
            format!("AND q.state = {code}"),
        ),
    }
}

/// Conditions are added only where asked for: `$2 IS NULL OR ...` would hide the indexes. The page is
/// found first, by numbers alone, then its jobs are read. Jobs of a run are asked for in pairs, for
/// which only an index on pairs will do.
pub(super) fn listing(filter: &JobFilter) -> String {
    let (from, state) = source_of(filter);
    let run = "(SELECT n FROM runs WHERE id = $2)";
    let (condition, order) = match filter.run {
        Some(_) => (format!("(p.run, p.n) > ({run}, $1) AND p.run <= {run}"), "p.run, p.n"),
        None => ("p.n > $1 AND $2::uuid IS NULL".to_owned(), "p.n"),
    };
    let job = match (&filter.job, &filter.ends_in) {
        (Some(_), _) => "p.n = $3".to_owned(),
        // An id ends with its job's number, so there are few that it can be.
        (None, Some(digits)) => format!(
            "p.n = ANY(ARRAY(SELECT generate_series($3::bigint, (SELECT max(n) FROM jobs), {}::bigint)))",
            numbers_apart(digits)
        ),
        (None, None) => "$3::bigint IS NULL".to_owned(),
    };
    let tenant = if filter.tenant.is_some() {
        "(SELECT tenant FROM runs WHERE n = p.run) = $5"
    } else {
        "$5::text IS NULL"
    };
    format!(
        "WITH page AS MATERIALIZED (
           SELECT p.n FROM {from} WHERE {condition} AND {job} AND {tenant} {state}
           ORDER BY {order} LIMIT $4)
         SELECT j.n, j.id, r.id AS run_id, j.kind, j.dedup_key, coalesce(e.state, q.state) AS state, j.occurrences,
           coalesce(e.result <> e.n, false) AS reused, maker.id AS maker, made.analyser, made.model, j.source,
           coalesce(e.calls, q.calls) AS calls, coalesce(e.input_tokens, q.input_tokens) AS input_tokens,
           coalesce(e.output_tokens, q.output_tokens) AS output_tokens,
           coalesce(e.attempts, q.attempts) AS attempts, CASE WHEN e.n IS NULL THEN q.error ELSE e.error END AS error,
           e.dead_reason, (SELECT id FROM runs WHERE n = e.redriven_as) AS sent_again_in, e.result,
           CASE WHEN $6 THEN made.output END AS output
         FROM page CROSS JOIN LATERAL (SELECT * FROM jobs WHERE n = page.n OFFSET 0) j
           CROSS JOIN LATERAL (SELECT id FROM runs WHERE n = j.run OFFSET 0) r
           LEFT JOIN LATERAL (SELECT * FROM queue WHERE n = page.n OFFSET 0) q ON true
           LEFT JOIN LATERAL (SELECT * FROM endings WHERE n = page.n OFFSET 0) e ON true
           LEFT JOIN LATERAL (SELECT * FROM endings WHERE n = e.result OFFSET 0) made ON true
           LEFT JOIN LATERAL (SELECT id FROM jobs WHERE n = e.result AND e.result <> e.n OFFSET 0) maker ON true
         ORDER BY j.n"
    )
}

pub(super) async fn jobs(
    connection: &mut PgConnection,
    filter: &JobFilter,
    page: Page,
) -> Result<Vec<JobRow>> {
    let rows = sqlx::query(AssertSqlSafe(listing(filter)))
        .bind(page.after)
        .bind(filter.run.map(runs::uuid_of))
        .bind(filter.job.map(number_of).or_else(|| filter.ends_in.as_deref().map(number_ending)))
        .bind(limit(page.limit))
        .bind(&filter.tenant)
        .bind(filter.with_results)
        .fetch_all(&mut *connection)
        .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in &rows {
        // Others make UUIDs too: the number alone does not name a job.
        let id: Uuid = row.try_get("id")?;
        let ends = |digits: &String| id.simple().to_string().ends_with(digits.as_str());
        if filter.job.is_none_or(|asked| uuid_of(asked) == id) && filter.ends_in.as_ref().is_none_or(ends) {
            jobs.push((row.try_get::<Option<i64>, _>("result")?, read_job(row)?));
        }
    }
    if filter.with_results {
        super::detail::read_facts(connection, &mut jobs).await?;
    }
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

fn read_job(row: &PgRow) -> Result<JobRow> {
    let count = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let id = |id: Uuid| JobId::from_bytes(id.into_bytes());
    Ok(JobRow {
        position: row.try_get("n")?,
        job_id: id(row.try_get("id")?),
        run_id: RunId::from_bytes(row.try_get::<Uuid, _>("run_id")?.into_bytes()),
        kind: row.try_get("kind")?,
        dedup_key: DedupKey::from_bytes(row.try_get("dedup_key")?),
        state: job_state(row.try_get("state")?).ok_or_else(unknown_code)?,
        occurrences: count("occurrences")?,
        reused: row.try_get("reused")?,
        result_of: row.try_get::<Option<Uuid>, _>("maker")?.map(id),
        analyser: row.try_get("analyser")?,
        model: row.try_get("model")?,
        source: json(row.try_get("source")?)?,
        output: row.try_get::<Option<String>, _>("output")?.map(raw).transpose()?,
        facts: Vec::new(),
        usage: Usage {
            calls: count("calls")?,
            input_tokens: count("input_tokens")?,
            output_tokens: count("output_tokens")?,
        },
        attempts: u16::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(u16::MAX),
        error: row.try_get("error")?,
        dead_reason: row.try_get::<Option<i16>, _>("dead_reason")?.and_then(dead_reason),
        sent_again_in: row
            .try_get::<Option<Uuid>, _>("sent_again_in")?
            .map(|run| RunId::from_bytes(run.into_bytes())),
    })
}

/// JSON as it stands there.
pub(super) fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| Fault::Database(sqlx::Error::Decode(error.into())))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str::<T>(text).map_err(|error| Fault::Database(sqlx::Error::Decode(error.into())))
}

/// Parses what [`json`] reads, where the type is any.
pub(super) fn value(text: &str) -> Result<Value> {
    json(text)
}

fn unknown_code() -> Fault {
    Fault::Database(sqlx::Error::Decode("unknown state".into()))
}
