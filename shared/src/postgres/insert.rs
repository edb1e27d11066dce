//! Writing new jobs, all of a batch in one statement.

use sqlx::PgConnection;

use super::fault::Result;
use super::numbers::{bounded, job_id, to_ms};
use super::submit::{Birth, Start};

/// `$17` is the state; what is not terminal goes to the queue.
pub(super) const INSERT: &str = "
    WITH born AS (
      INSERT INTO jobs (n, run, seq, id, est_input, est_output, occurrences, deadline_ms, fresh_ms, priority,
        max_attempts, kind, upstream, dedup_key, source, args)
      SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::smallint[], $11::integer[], $12::text[], $13::text[],
        $14::bytea[], $15::text[], $16::text[])
    ), reused AS (
      INSERT INTO endings (n, run, state, result, fence, calls, input_tokens, output_tokens, attempts)
      SELECT n, run, state, other, 0, 0, 0, 0, 0
      FROM unnest($1::bigint[], $2::bigint[], $17::smallint[], $19::bigint[]) e (n, run, state, other)
      WHERE state = 3
    )
    INSERT INTO queue (n, id, run, key, deadline, fresh_ms, twin, elsewhere, state, priority, kind, upstream)
    SELECT n, id, run, key, now() + deadline_ms * interval '1 ms', fresh_ms, other, elsewhere, state, priority,
      kind, upstream
    FROM unnest($1::bigint[], $4::uuid[], $2::bigint[], $18::uuid[], $8::bigint[], $9::bigint[], $19::bigint[],
      $20::boolean[], $17::smallint[], $10::smallint[], $12::text[], $13::text[])
      q (n, id, run, key, deadline_ms, fresh_ms, other, elsewhere, state, priority, kind, upstream)
    WHERE state <> 3";

pub(super) async fn insert(
    connection: &mut PgConnection,
    births: &[Birth<'_>],
    starts: &[Start],
) -> Result<()> {
    let ms = |time: Option<std::time::Duration>| time.map(to_ms);
    let source = |birth: &Birth<'_>| {
        serde_json::to_string(&birth.job.source).expect("a source has only JSON-safe fields")
    };
    sqlx::query(INSERT)
        .bind(births.iter().map(|birth| birth.n).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.run).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.job.seq.map(u64::cast_signed)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| job_id(birth.n)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| bounded(birth.job.estimate.input_tokens)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| bounded(birth.job.estimate.output_tokens)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| bounded(birth.job.occurrences)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| ms(birth.job.deadline)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| ms(birth.job.fresh_for)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.job.priority).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| i32::from(birth.job.max_attempts)).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.job.kind.as_str()).collect::<Vec<_>>())
        .bind(
            births.iter().map(|birth| birth.job.upstream.as_deref().unwrap_or_default()).collect::<Vec<_>>(),
        )
        .bind(births.iter().map(|birth| birth.job.dedup_key.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(births.iter().map(source).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.job.args.get()).collect::<Vec<_>>())
        .bind(starts.iter().map(|start| start.state()).collect::<Vec<_>>())
        .bind(births.iter().map(|birth| birth.key).collect::<Vec<_>>())
        .bind(starts.iter().map(|start| other_of(*start)).collect::<Vec<_>>())
        .bind(
            starts
                .iter()
                .map(|start| matches!(start, Start::Attach { elsewhere: true, .. }))
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

/// The job whose result it shares or waits for.
fn other_of(start: Start) -> Option<i64> {
    match start {
        Start::Ready => None,
        Start::Reuse { result } => Some(result),
        Start::Attach { twin, .. } => Some(twin),
    }
}
