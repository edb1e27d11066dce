//! Run counters, gathered over a batch and written last: several workers share a run's row, and
//! hold it until their commit.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row};

use super::fault::Result;
use crate::domain::RunCounts;

/// What a batch adds to each run's counters, by the run's number.
#[derive(Default)]
pub(super) struct Counters(BTreeMap<i64, RunCounts>);

/// What counting found.
#[derive(Default)]
pub(super) struct Counted {
    /// Some run became finished.
    pub(super) finished: bool,
    /// Some run got jobs and takes no more: it was cancelled meanwhile, or has ended.
    pub(super) closed: bool,
}

/// In order of runs, so that two batches never wait for each other. The trigger `runs_finish` ends
/// the runs that have become complete. `RETURNING` shows the row as it is now: a run that was open
/// before is recognised by its end's time, which is this transaction's.
pub(super) const COUNT: &str = "
    UPDATE runs r SET jobs = r.jobs + c.jobs, occurrences = r.occurrences + c.occurrences,
      succeeded = r.succeeded + c.succeeded, reused = r.reused + c.reused, dead = r.dead + c.dead,
      cancelled = r.cancelled + c.cancelled, retries = r.retries + c.retries, calls = r.calls + c.calls,
      input_tokens = r.input_tokens + c.input_tokens, output_tokens = r.output_tokens + c.output_tokens
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
      c (run, jobs, occurrences, succeeded, reused, dead, cancelled, retries, calls, input_tokens, output_tokens)
    WHERE r.n = ANY(ARRAY[c.run])
    RETURNING r.state = 2 AND r.finished_at = now() AS finished,
      c.jobs > 0 AND (r.cancelled_at IS NOT NULL OR (r.state = 2 AND r.finished_at <> now())) AS closed";

impl Counters {
    /// The counters to add for a run.
    pub(super) fn of(&mut self, run: i64) -> &mut RunCounts {
        self.0.entry(run).or_default()
    }

    /// Adds what another batch gathered.
    pub(super) fn merge(&mut self, other: Self) {
        for (run, more) in other.0 {
            let counts = self.of(run);
            counts.jobs += more.jobs;
            counts.occurrences += more.occurrences;
            counts.succeeded += more.succeeded;
            counts.reused += more.reused;
            counts.dead += more.dead;
            counts.cancelled += more.cancelled;
            counts.retries += more.retries;
            counts.usage += more.usage;
        }
    }

    /// Writes them, and finishes the runs that have become complete. The last statement of its
    /// transaction.
    pub(super) async fn apply(self, connection: &mut PgConnection) -> Result<Counted> {
        let mut counted = Counted::default();
        if self.0.is_empty() {
            return Ok(counted);
        }
        let column = |of: fn(&RunCounts) -> u64| -> Vec<i64> {
            self.0.values().map(|counts| of(counts).cast_signed()).collect()
        };
        let rows = sqlx::query(COUNT)
            .bind(self.0.keys().copied().collect::<Vec<_>>())
            .bind(column(|counts| counts.jobs))
            .bind(column(|counts| counts.occurrences))
            .bind(column(|counts| counts.succeeded))
            .bind(column(|counts| counts.reused))
            .bind(column(|counts| counts.dead))
            .bind(column(|counts| counts.cancelled))
            .bind(column(|counts| counts.retries))
            .bind(column(|counts| counts.usage.calls))
            .bind(column(|counts| counts.usage.input_tokens))
            .bind(column(|counts| counts.usage.output_tokens))
            .fetch_all(connection)
            .await?;
        for row in rows {
            counted.finished |= row.try_get::<Option<bool>, _>("finished")?.unwrap_or(false);
            counted.closed |= row.try_get::<Option<bool>, _>("closed")?.unwrap_or(false);
        }
        Ok(counted)
    }
}
