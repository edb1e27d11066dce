//! Writing new jobs, all of a batch in one statement.

use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::fault::Result;
use super::numbers::{bounded, job_id, to_ms};
use super::submit::{Birth, Start};
use crate::domain::NewJob;

/// Writes the rows of `job`: to the queue what is not terminal, else its ending. What is handed out with its birth has
/// its first fence.
macro_rules! write_jobs {
    () => {
        "born AS (
      INSERT INTO jobs (n, run, seq, id, est_input, est_output, occurrences, deadline_ms, fresh_ms, priority,
        max_attempts, kind, upstream, dedup_key, source, args)
      SELECT n, run, seq, id, est_input, est_output, occurrences, deadline_ms, fresh_ms, priority,
        max_attempts, kind, upstream, dedup_key, source, args FROM job
    ), reused AS (
      INSERT INTO endings (n, run, state, result, fence, calls, input_tokens, output_tokens, attempts)
      SELECT n, run, state, other, 0, 0, 0, 0, 0 FROM job WHERE state = 3
    ), queued AS (
      INSERT INTO queue (n, id, run, key, fence, dispatched_at, deadline, fresh_ms, twin, elsewhere, state, priority,
        kind, upstream, tenant)
      SELECT n, id, run, key, (state = 1)::int, CASE WHEN state = 1 THEN now() END,
        now() + deadline_ms * interval '1 ms', fresh_ms, other, elsewhere, state, priority, kind, upstream, tenant
      FROM job WHERE state <> 3
    )"
    };
}

/// The columns that [`bind_jobs`] gives.
macro_rules! job_columns {
    () => {
        "$1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[],
        $8::integer[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::text[]"
    };
    (names) => {
        "seq, est_input, est_output, occurrences, deadline_ms, fresh_ms, priority, max_attempts, kind, upstream,
        dedup_key, source, args"
    };
}

pub(super) use {job_columns, write_jobs};

const INSERT: &str = concat!(
    "
    WITH job AS MATERIALIZED (
      SELECT * FROM unnest(",
    job_columns!(),
    ", $14::bigint[], $15::bigint[], $16::uuid[], $17::uuid[], $18::smallint[], $19::bigint[], $20::boolean[],
      $21::text[])
        j (",
    job_columns!(names),
    ", n, run, id, key, state, other, elsewhere, tenant)
    ), ",
    write_jobs!(),
    " SELECT 1 WHERE false"
);

pub(super) async fn insert(
    connection: &mut PgConnection,
    births: &[Birth<'_>],
    starts: &[Start],
) -> Result<()> {
    let elsewhere = |start: &Start| matches!(start, Start::Attach { elsewhere: true, .. });
    bind_jobs(sqlx::query(INSERT), births.iter().map(|birth| birth.job))
        .bind(births.iter().map(|birth| birth.n).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.run).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| job_id(birth.n)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.key).collect::<Vec<_>>())
        .bind(starts.iter().map(|start| start.state()).collect::<Vec<_>>())
        .bind(starts.iter().map(|start| other_of(*start)).collect::<Vec<_>>())
        .bind(starts.iter().map(elsewhere).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.tenant).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// What jobs are submitted with, as the first arguments.
pub(super) fn bind_jobs<'q, 'j>(
    query: Query<'q, Postgres, PgArguments>,
    jobs: impl Iterator<Item = &'j NewJob> + Clone,
) -> Query<'q, Postgres, PgArguments> {
    let ms = |time: Option<std::time::Duration>| time.map(to_ms);
    let source =
        |job: &NewJob| serde_json::to_string(&job.source).expect("a source has only JSON-safe fields");
    query
        .bind(jobs.clone().map(|job| job.seq.map(u64::cast_signed)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| bounded(job.estimate.input_tokens)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| bounded(job.estimate.output_tokens)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| bounded(job.occurrences)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| ms(job.deadline)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| ms(job.fresh_for)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| job.priority).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| i32::from(job.max_attempts)).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| job.kind.as_str()).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| job.upstream.as_deref().unwrap_or_default()).collect::<Vec<_>>())
        .bind(jobs.clone().map(|job| job.dedup_key.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(jobs.clone().map(source).collect::<Vec<_>>())
        .bind(jobs.map(|job| job.args.get()).collect::<Vec<_>>())
}

/// The job whose result it shares or waits for.
fn other_of(start: Start) -> Option<i64> {
    match start {
        Start::Ready => None,
        Start::Reuse { result } => Some(result),
        Start::Attach { twin, .. } => Some(twin),
    }
}
