//! Run counters, gathered over a batch and written once per run.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::codes::{RUN_FINISHED, RUN_RUNNING};
use super::numbers::now_ms;
use crate::domain::RunCounts;

/// What a batch adds to each run's counters.
#[derive(Default)]
pub(super) struct Counters(BTreeMap<i64, RunCounts>);

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

    /// Writes them, and finishes the runs that have become complete.
    pub(super) fn apply(self, connection: &Connection) -> rusqlite::Result<()> {
        let now = now_ms();
        for (run, counts) in self.0 {
            connection
                .prepare_cached(
                    "UPDATE runs SET jobs = jobs + ?2, occurrences = occurrences + ?3,
                       succeeded = succeeded + ?4, reused = reused + ?5, dead = dead + ?6,
                       cancelled = cancelled + ?7, retries = retries + ?8, calls = calls + ?9,
                       input_tokens = input_tokens + ?10, output_tokens = output_tokens + ?11
                     WHERE n = ?1",
                )?
                .execute(params![
                    run,
                    counts.jobs.cast_signed(),
                    counts.occurrences.cast_signed(),
                    counts.succeeded.cast_signed(),
                    counts.reused.cast_signed(),
                    counts.dead.cast_signed(),
                    counts.cancelled.cast_signed(),
                    counts.retries.cast_signed(),
                    counts.usage.calls.cast_signed(),
                    counts.usage.input_tokens.cast_signed(),
                    counts.usage.output_tokens.cast_signed(),
                ])?;
            finish_run_if_done(connection, run, now)?;
        }
        Ok(())
    }
}

/// A run is finished when it is sealed and all its jobs are terminal.
pub(super) fn finish_run_if_done(connection: &Connection, run: i64, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE runs SET state = ?2, finished_at = ?3
             WHERE n = ?1 AND state = ?4 AND succeeded + dead + cancelled = jobs",
        )?
        .execute(params![run, RUN_FINISHED, now, RUN_RUNNING])?;
    Ok(())
}
