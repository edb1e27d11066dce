//! A small run in one statement that commits by itself: where a transaction takes six trips, it takes one.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::insert::{bind_jobs, job_columns, write_jobs};
use super::numbers::key_of;
use super::runs::bind_run;
use super::submit::claim_keys;
use crate::domain::{JobId, NewJob, NewRun};

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
/// is, with all of its jobs; one whose jobs all have their results is finished by a trigger. `$23` says of each job
/// whether it is handed out if it is ready.
const SUBMIT: &str = concat!(
    "
    WITH run AS MATERIALIZED (
      SELECT nextval(pg_get_serial_sequence('runs', 'n')) AS n
      WHERE NOT EXISTS (SELECT FROM runs WHERE id = $16)
    ), birth AS MATERIALIZED (
      SELECT nextval('job_numbers') AS n, run.n AS run, j.* FROM run, unnest(",
    job_columns!(),
    ", $14::text[], $15::uuid[], $23::boolean[]) WITH ORDINALITY j (",
    job_columns!(names),
    ", half, key, goes, place)
    ), claimed AS (
      ",
    claim_keys!(
        "SELECT DISTINCT ON (key) key, n, run, count(*) OVER (PARTITION BY key) > 1 FROM birth ORDER BY key, n"
    ),
    "
    ), job AS MATERIALIZED (
      SELECT birth.*, $17::text AS tenant, (half || to_hex(n | (-9223372036854775808)))::uuid AS id,
        (CASE WHEN result IS NOT NULL THEN 3 WHEN live <> n THEN 2 ELSE goes::int END)::smallint AS state,
        coalesce(result, nullif(live, n)) AS other,
        result IS NULL AND live <> n AND live_run IS DISTINCT FROM run AS elsewhere
      FROM birth JOIN claimed USING (key)
    ), ",
    write_jobs!(),
    ", opened AS (
      INSERT INTO runs (n, id, tenant, pipeline, input, idempotency_key, settings, notes, state, jobs, occurrences,
        succeeded, reused)
      OVERRIDING SYSTEM VALUE
      SELECT run.n, $16, $17, $18, $19, $20, $21, $22, 1, c.jobs, c.occurrences, c.reused, c.reused
      FROM run, (SELECT count(*) AS jobs, sum(occurrences)::bigint AS occurrences,
        count(*) FILTER (WHERE state = 3) AS reused FROM job) c
    )
    SELECT place, id, state = 1 FROM job"
);

/// `goes`: which of the jobs may be handed out at once. Answers which are, and by which ids; `None` if the run was there
/// already.
pub(super) async fn submit(
    connection: &mut PgConnection,
    run: &NewRun,
    jobs: &[NewJob],
    notes: &Value,
    goes: &[bool],
) -> sqlx::Result<Option<Vec<(usize, JobId)>>> {
    let half = |_| format!("{:016x}", Uuid::now_v7().as_u64_pair().0);
    let query = bind_jobs(sqlx::query(SUBMIT), jobs.iter())
        .bind(jobs.iter().map(half).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| key_of(&run.tenant, &job.kind, &job.dedup_key)).collect::<Vec<_>>());
    let rows = bind_run(query, run).bind(notes.to_string()).bind(goes).fetch_all(connection).await?;
    let mut handed_out = Vec::new();
    for row in &rows {
        if row.try_get(2)? {
            let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).expect("ordinals count from 1");
            handed_out.push((place, JobId::from_bytes(row.try_get::<Uuid, _>(1)?.into_bytes())));
        }
    }
    Ok((!rows.is_empty()).then_some(handed_out))
}
