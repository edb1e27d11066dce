//! The usual finish: successes for which nobody waits and from which nothing follows. A whole
//! group is one statement, which commits by itself.

use std::collections::HashSet;

use serde_json::value::RawValue;
use sqlx::{PgConnection, Row};

use super::fault::{Result, in_doubt};
use super::finish::fenced;
use super::numbers::{bounded_usage, for_people, number_of, uuid_of};
use super::store::{fact_columns, model};
use crate::domain::{Decision, ErasedDone, JobId};
use crate::ports::Finish;

/// The success, if it is a usual one.
pub(super) fn plain(finish: &Finish) -> Option<&ErasedDone> {
    match &finish.decision {
        Decision::Succeed(done) if done.follow_ups.is_empty() && done.stand_in.is_none() => Some(done),
        _ => None,
    }
}

/// Locks are taken in the order that all steps keep: rows of the queue in order of numbers (`mine`),
/// the keys' rows in order of keys, and the runs last. A key that others wait for is left alone with its job, for
/// only a later statement sees who waits; `kept` says which jobs are done. Which dispatch counts: see
/// [`HOLD_CURRENT`](super::finish::HOLD_CURRENT).
pub(super) const FINISH: &str = "
    WITH mine AS MATERIALIZED (
      SELECT q.n, q.run, q.key, f.fence, q.fresh_ms, q.attempts + 1 AS attempts, q.calls + f.calls AS calls,
        q.input_tokens + f.input_tokens AS input_tokens, q.output_tokens + f.output_tokens AS output_tokens,
        f.calls AS more_calls, f.input_tokens AS more_input, f.output_tokens AS more_output,
        f.output, f.analyser, f.model
      FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
          $8::text[], $9::text[])
        f (n, id, fence, calls, input_tokens, output_tokens, output, analyser, model), LATERAL (
          SELECT * FROM queue WHERE n = f.n AND (fence = f.fence OR fence + 1 = f.fence AND state + 0 = 0)
            AND settled_fence < f.fence AND id = f.id FOR UPDATE) q
    ), kept AS (
      INSERT INTO dedup AS d (key, result, fresh_until)
      SELECT key, n, now() + fresh_ms * interval '1 ms' FROM mine ORDER BY key
      ON CONFLICT (key) DO UPDATE
        SET live = NULL, live_run = NULL, result = excluded.result, fresh_until = excluded.fresh_until
        WHERE NOT d.waiting
      RETURNING result AS n
    ), gone AS (
      DELETE FROM queue WHERE n = ANY(ARRAY(SELECT n FROM kept))
    ), ended AS (
      INSERT INTO endings (n, run, result, state, fence, calls, input_tokens, output_tokens, attempts, output,
        analyser, model)
      SELECT n, run, n, 3, fence, calls, input_tokens, output_tokens, attempts, output, analyser, model
      FROM mine WHERE (n IN (SELECT n FROM kept)) IS TRUE
    ), told AS (
      INSERT INTO facts (result, i, data)
      SELECT r, i, d::json FROM unnest($10::bigint[], $11::integer[], $12::text[]) f (r, i, d)
      WHERE (r IN (SELECT n FROM kept)) IS TRUE
    ), counts AS MATERIALIZED (
      SELECT run, count(*) AS jobs, sum(more_calls)::bigint AS calls, sum(more_input)::bigint AS input_tokens,
        sum(more_output)::bigint AS output_tokens
      FROM mine WHERE (n IN (SELECT n FROM kept)) IS TRUE GROUP BY run ORDER BY run
    ), counted AS (
      UPDATE runs r SET succeeded = r.succeeded + c.jobs, calls = r.calls + c.calls,
        input_tokens = r.input_tokens + c.input_tokens, output_tokens = r.output_tokens + c.output_tokens
      FROM counts c WHERE r.n = ANY(ARRAY[c.run])
      RETURNING r.state = 2 AND r.finished_at = now() AS finished
    )
    SELECT ARRAY(SELECT n FROM kept), coalesce((SELECT bool_or(finished) FROM counted), false)";

/// What the statement did.
pub(super) struct Done {
    /// Jobs that are recorded.
    pub(super) recorded: HashSet<JobId>,
    /// Whether a run finished.
    pub(super) news: bool,
}

pub(super) async fn finish(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<Done> {
    let mut finishes = finishes.to_vec();
    finishes.sort_unstable_by_key(|finish| number_of(finish.job));
    let results: Vec<&ErasedDone> = finishes.iter().filter_map(|finish| plain(finish)).collect();
    let jobs: Vec<i64> = finishes.iter().map(|finish| number_of(finish.job)).collect();
    let usages: Vec<_> = finishes.iter().map(|finish| bounded_usage(finish.usage)).collect();
    let (facts_of, places, facts) = fact_columns(jobs.iter().copied().zip(results.iter().copied()));
    let row = sqlx::query(fenced(FINISH))
        .bind(&jobs)
        .bind(finishes.iter().map(|finish| uuid_of(finish.job)).collect::<Vec<_>>())
        .bind(finishes.iter().map(|finish| finish.fence.cast_signed()).collect::<Vec<_>>())
        .bind(usages.iter().map(|usage| usage.calls.cast_signed()).collect::<Vec<_>>())
        .bind(usages.iter().map(|usage| usage.input_tokens.cast_signed()).collect::<Vec<_>>())
        .bind(usages.iter().map(|usage| usage.output_tokens.cast_signed()).collect::<Vec<_>>())
        .bind(results.iter().map(|done| RawValue::get(&done.output)).collect::<Vec<_>>())
        .bind(results.iter().map(|done| for_people(&done.analyser)).collect::<Vec<_>>())
        .bind(results.iter().map(|done| model(done)).collect::<Vec<_>>())
        .bind(facts_of)
        .bind(places)
        .bind(facts)
        .fetch_one(connection)
        .await
        .map_err(in_doubt)?;
    let kept: HashSet<i64> = row.try_get::<Vec<i64>, _>(0)?.into_iter().collect();
    let recorded =
        finishes.iter().map(|finish| finish.job).filter(|job| kept.contains(&number_of(*job))).collect();
    Ok(Done { recorded, news: row.try_get(1)? })
}
