//! A small run in one statement that commits by itself: where a transaction takes six trips, it takes one.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::insert::{bind_jobs, job_columns, write_jobs};
use super::numbers::key_of;
use super::runs::bind_run;
use super::submit::claim_keys;
use crate::domain::{NewJob, NewRun};

/// Its jobs at most. For more, claims and jobs are brought together here and not in the database, whose plan for
/// it could become one that grows with their square.
const MOST: usize = 16;

/// Whether these jobs are such a run.
pub(super) fn is_small(jobs: &[NewJob]) -> bool {
    let mut seqs = HashSet::new();
    (1..=MOST).contains(&jobs.len()) && jobs.iter().filter_map(|job| job.seq).all(|seq| seqs.insert(seq))
}

/// A job's id is that of [`job_id`](super::numbers::job_id): half of a UUID v7, `$14`, and the number behind
/// the variant's bits. `state` is as in [`Start`](super::submit::Start). A run that is there already is left as it
/// is, with all of its jobs; one whose jobs all have their results is finished by a trigger.
const SUBMIT: &str = concat!(
    "
    WITH run AS MATERIALIZED (
      SELECT nextval(pg_get_serial_sequence('runs', 'n')) AS n
      WHERE NOT EXISTS (SELECT FROM runs WHERE id = $16)
    ), birth AS MATERIALIZED (
      SELECT nextval('job_numbers') AS n, run.n AS run, j.* FROM run, unnest(",
    job_columns!(),
    ", $14::text[], $15::uuid[]) j (",
    job_columns!(names),
    ", half, key)
    ), claimed AS (
      ",
    claim_keys!(
        "SELECT DISTINCT ON (key) key, n, run, count(*) OVER (PARTITION BY key) > 1 FROM birth ORDER BY key, n"
    ),
    "
    ), job AS MATERIALIZED (
      SELECT birth.*, $17::text AS tenant, (half || to_hex(n | (-9223372036854775808)))::uuid AS id,
        (CASE WHEN result IS NOT NULL THEN 3 WHEN live <> n THEN 2 ELSE 0 END)::smallint AS state,
        coalesce(result, nullif(live, n)) AS other,
        result IS NULL AND live <> n AND live_run IS DISTINCT FROM run AS elsewhere
      FROM birth JOIN claimed USING (key)
    ), ",
    write_jobs!(),
    "
    INSERT INTO runs (n, id, tenant, pipeline, input, idempotency_key, settings, notes, state, jobs, occurrences,
      succeeded, reused)
    OVERRIDING SYSTEM VALUE
    SELECT run.n, $16, $17, $18, $19, $20, $21, $22, 1, c.jobs, c.occurrences, c.reused, c.reused
    FROM run, (SELECT count(*) AS jobs, sum(occurrences)::bigint AS occurrences,
      count(*) FILTER (WHERE state = 3) AS reused FROM job) c"
);

pub(super) async fn submit(
    connection: &mut PgConnection,
    run: &NewRun,
    jobs: &[NewJob],
    notes: &Value,
) -> sqlx::Result<()> {
    let half = |_| format!("{:016x}", Uuid::now_v7().as_u64_pair().0);
    let query = bind_jobs(sqlx::query(SUBMIT), jobs.iter())
        .bind(jobs.iter().map(half).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| key_of(&run.tenant, &job.kind, &job.dedup_key)).collect::<Vec<_>>());
    bind_run(query, run).bind(notes.to_string()).execute(connection).await?;
    Ok(())
}
