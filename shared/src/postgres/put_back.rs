//! Jobs that go back to ready, and the attempts that failed.

use sqlx::PgConnection;

use super::fault::Result;
use super::live::Live;
use crate::domain::Usage;

/// A job that was handed out and is to live on. Attempts and usage are as they are from now on.
pub(super) struct Back {
    n: i64,
    fence: i64,
    delay_ms: i64,
    attempts: i32,
    usage: Usage,
    error: Option<String>,
    /// Stays with whoever has it: only what it used is noted.
    stays: bool,
}

impl Back {
    pub(super) fn new(job: &Live, delay_ms: i64, error: Option<String>) -> Self {
        Self {
            n: job.n,
            fence: job.fence,
            delay_ms,
            attempts: job.attempts,
            usage: job.usage,
            error,
            stays: false,
        }
    }

    /// Another attempt owns the job.
    pub(super) fn stay(job: &Live) -> Self {
        Self { stays: true, ..Self::new(job, 0, None) }
    }
}

/// `settled_fence` is how a finish whose commit was in doubt is recognised.
pub(super) const PUT_BACK: &str = "
    UPDATE queue q SET calls = b.calls, input_tokens = b.input_tokens, output_tokens = b.output_tokens,
      state = CASE WHEN b.stays THEN q.state ELSE 0 END,
      run_at = CASE WHEN b.stays THEN q.run_at ELSE now() + b.delay_ms * interval '1 ms' END,
      dispatched_at = CASE WHEN b.stays THEN q.dispatched_at END,
      waits = NOT b.stays AND b.delay_ms > 0, attempts = b.attempts, error = coalesce(b.error, q.error),
      fence = CASE WHEN b.stays THEN q.fence ELSE b.fence END,
      settled_fence = CASE WHEN b.stays THEN q.settled_fence ELSE b.fence END
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
      $8::boolean[], $9::bigint[]) b (n, delay_ms, attempts, calls, input_tokens, output_tokens, error, stays, fence)
    WHERE q.n = ANY(ARRAY[b.n])";

pub(super) async fn put_back(connection: &mut PgConnection, backs: &[Back]) -> Result<()> {
    if backs.is_empty() {
        return Ok(());
    }
    let usage = |of: fn(&Usage) -> u64| -> Vec<i64> {
        backs.iter().map(|back| of(&back.usage).cast_signed()).collect()
    };
    sqlx::query(PUT_BACK)
        .bind(backs.iter().map(|back| back.n).collect::<Vec<_>>())
        .bind(backs.iter().map(|back| back.delay_ms).collect::<Vec<_>>())
        .bind(backs.iter().map(|back| back.attempts).collect::<Vec<_>>())
        .bind(usage(|usage| usage.calls))
        .bind(usage(|usage| usage.input_tokens))
        .bind(usage(|usage| usage.output_tokens))
        .bind(backs.iter().map(|back| back.error.as_deref()).collect::<Vec<_>>())
        .bind(backs.iter().map(|back| back.stays).collect::<Vec<_>>())
        .bind(backs.iter().map(|back| back.fence).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Job, fence and error of each attempt that failed.
pub(super) async fn record_failed(
    connection: &mut PgConnection,
    failed: &[(i64, i64, String)],
) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (job, fence, error) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])
         ON CONFLICT (job, fence) DO UPDATE SET at = excluded.at, error = excluded.error",
    )
    .bind(failed.iter().map(|failed| failed.0).collect::<Vec<_>>())
    .bind(failed.iter().map(|failed| failed.1).collect::<Vec<_>>())
    .bind(failed.iter().map(|failed| failed.2.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
