//! Writing ends: of all jobs of a batch at once.

use sqlx::PgConnection;

use super::end::{End, Ending, KeyChange};
use super::fault::Result;
use super::numbers::for_people;
use crate::domain::{DeadReason, ErasedDone};

pub(super) const ENDINGS: &str = "
    WITH gone AS (DELETE FROM queue WHERE n = ANY($1))
    INSERT INTO endings (n, run, state, result, fence, calls, input_tokens, output_tokens, attempts, dead_reason,
      error, output, analyser, model)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bigint[], $8::bigint[], $9::integer[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[])";

pub(super) async fn endings(connection: &mut PgConnection, endings: &[Ending<'_>]) -> Result<()> {
    if endings.is_empty() {
        return Ok(());
    }
    let result = |ending: &Ending<'_>| match ending.end {
        End::Success(_) => Some(ending.job.n),
        End::Shared(result) | End::Lesser(result, _) => Some(result),
        _ => None,
    };
    let usage = |of: fn(&crate::domain::Usage) -> u64| -> Vec<i64> {
        endings.iter().map(|ending| of(&ending.job.usage).cast_signed()).collect()
    };
    sqlx::query(ENDINGS)
        .bind(endings.iter().map(|ending| ending.job.n).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| ending.job.run).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| ending.end.state()).collect::<Vec<_>>())
        .bind(endings.iter().map(result).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| ending.job.fence).collect::<Vec<_>>())
        .bind(usage(|usage| usage.calls))
        .bind(usage(|usage| usage.input_tokens))
        .bind(usage(|usage| usage.output_tokens))
        .bind(endings.iter().map(|ending| ending.job.attempts).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| ending.end.reason()).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| ending.end.error().map(for_people)).collect::<Vec<_>>())
        .bind(endings.iter().map(|ending| made(ending).map(|done| done.output.get())).collect::<Vec<_>>())
        .bind(
            endings
                .iter()
                .map(|ending| made(ending).map(|done| for_people(&done.analyser)))
                .collect::<Vec<_>>(),
        )
        .bind(endings.iter().map(|ending| made(ending).and_then(model)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    facts(connection, endings.iter().filter_map(|ending| Some((ending.job.n, made(ending)?)))).await?;
    announce_deaths(connection, endings).await
}

fn made<'a>(ending: &Ending<'a>) -> Option<&'a ErasedDone> {
    match &ending.end {
        End::Success(done) => Some(*done),
        _ => None,
    }
}

/// The model's name as the tables hold it.
pub(super) fn model(done: &ErasedDone) -> Option<String> {
    done.model.as_deref().map(for_people)
}

/// The facts of results as the columns of their table.
pub(super) fn fact_columns<'a>(
    results: impl Iterator<Item = (i64, &'a ErasedDone)>,
) -> (Vec<i64>, Vec<i32>, Vec<String>) {
    let (mut of, mut places, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for (n, done) in results {
        for (i, fact) in (1..).zip(&done.facts) {
            of.push(n);
            places.push(i);
            data.push(fact.to_string());
        }
    }
    (of, places, data)
}

async fn facts<'a>(
    connection: &mut PgConnection,
    results: impl Iterator<Item = (i64, &'a ErasedDone)>,
) -> Result<()> {
    let (of, places, data) = fact_columns(results);
    if of.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO facts (result, i, data)
         SELECT r, i, d::json FROM unnest($1::bigint[], $2::integer[], $3::text[]) f (r, i, d)",
    )
    .bind(of)
    .bind(places)
    .bind(data)
    .execute(connection)
    .await?;
    Ok(())
}

/// Longest error text in an event, in characters: the whole is in the ledger.
const EVENT_ERROR: i32 = 1000;

async fn announce_deaths(connection: &mut PgConnection, endings: &[Ending<'_>]) -> Result<()> {
    let dead: Vec<(i64, DeadReason, &str)> = endings
        .iter()
        .filter_map(|ending| match &ending.end {
            End::Dead(reason, error) => Some((ending.job.n, *reason, error.as_str())),
            _ => None,
        })
        .collect();
    if dead.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO outbox (topic, tenant, body)
         SELECT 'job.dead', r.tenant, json_build_object('job_id', j.id, 'run_id', r.id, 'kind', j.kind,
           'reason', d.reason, 'error', left(d.error, $4))
         FROM unnest($1::bigint[], $2::text[], $3::text[]) d (n, reason, error),
           LATERAL (SELECT id, run, kind FROM jobs WHERE n = d.n OFFSET 0) j,
           LATERAL (SELECT id, tenant FROM runs WHERE n = j.run OFFSET 0) r",
    )
    .bind(dead.iter().map(|dead| dead.0).collect::<Vec<_>>())
    .bind(dead.iter().map(|dead| dead.1.as_str()).collect::<Vec<_>>())
    .bind(dead.iter().map(|dead| dead.2).collect::<Vec<_>>())
    .bind(EVENT_ERROR)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) const KEYS: &str = "
    UPDATE dedup d SET live = k.live, live_run = k.live_run, waiting = k.waiting,
      result = coalesce(k.result, d.result),
      fresh_until = CASE WHEN k.result IS NULL THEN d.fresh_until ELSE now() + k.fresh_ms * interval '1 ms' END
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[])
      k (key, live, live_run, waiting, result, fresh_ms)
    WHERE d.key = ANY(ARRAY[k.key])";

pub(super) async fn keys(connection: &mut PgConnection, keys: &[KeyChange]) -> Result<()> {
    sqlx::query(KEYS)
        .bind(keys.iter().map(|key| key.key).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.live.map(|live| live.0)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.live.map(|live| live.1)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.waiting).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.result.map(|result| result.0)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.result.and_then(|result| result.1)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
