//! Results that are fresh no more, for jobs that may take them.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;

use super::fault::Result;
use super::live::Live;
use super::numbers::number_of;
use crate::domain::Decision;
use crate::ports::Finish;

/// The last result of a key.
#[derive(Clone, Copy)]
pub(super) struct OldResult {
    /// The job that made it.
    pub(super) result: i64,
    pub(super) age: Duration,
}

pub(super) const OLD: &str = "
    SELECT w.n, e.n, greatest(extract(epoch FROM now() - e.finished_at), 0)::bigint
    FROM unnest($1::bigint[], $2::uuid[]) w (n, key),
      LATERAL (SELECT result FROM dedup WHERE key = w.key OFFSET 0) d,
      LATERAL (SELECT n, finished_at FROM endings WHERE n = d.result OFFSET 0) e";

/// By job: the last results for those that may take them, as far as there are any. The jobs are
/// held, and each is its key's live one, so nobody else stores a result meanwhile.
pub(super) async fn results(
    connection: &mut PgConnection,
    finishes: &[&Finish],
    current: &HashMap<i64, Live>,
) -> Result<HashMap<i64, OldResult>> {
    let reuses = |finish: &&&Finish| matches!(finish.decision, Decision::Reuse { .. });
    let jobs = finishes.iter().filter(reuses).filter_map(|finish| current.get(&number_of(finish.job)));
    let (numbers, keys): (Vec<_>, Vec<_>) = jobs.map(|job| (job.n, job.key)).unzip();
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, i64, i64)> =
        sqlx::query_as(OLD).bind(numbers).bind(keys).fetch_all(connection).await?;
    let old = |(n, result, age): (i64, i64, i64)| {
        (n, OldResult { result, age: Duration::from_secs(age.cast_unsigned()) })
    };
    Ok(rows.into_iter().map(old).collect())
}
