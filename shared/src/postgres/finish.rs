//! Recording outcomes: fenced, a group at a time, in one transaction.
//!
//! Usual successes take the short way of [`super::fast`]. Here is the general one, in a handful of
//! statements however large the group is. Where one row cannot be written, the group goes one by
//! one, each in a savepoint of its own.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::counters::Counters;
use super::end::{End, Ending, end_jobs};
use super::fault::{Fault, Result};
use super::live::{self, Live};
use super::numbers::{bounded_usage, for_people, number_of, to_ms, uuid_of};
use super::old::{self, OldResult};
use super::put_back::{self, Back};
use super::submit::{Birth, bear};
use crate::domain::{DeadReason, Decision, NewJob};
use crate::kill_point;
use crate::ports::{Added, Finish, Finished};
use crate::rules::old_result;

/// A group's answers, and whether jobs may have become ready or a run finished.
pub(super) struct Group {
    pub(super) answers: Vec<Finished>,
    pub(super) news: bool,
}

/// All at once. A job is named once at most.
pub(super) async fn finish_all(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<Group> {
    let mut counters = Counters::default();
    let (recorded, mut news) = record(connection, finishes, &mut counters).await?;
    news |= counters.apply(connection).await?.finished;
    let answer = |recorded: &bool| if *recorded { Finished::Recorded } else { Finished::Stale };
    Ok(Group { answers: recorded.iter().map(answer).collect(), news })
}

/// One by one: one that cannot be recorded spoils no other.
pub(super) async fn finish_each(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<Group> {
    let mut counters = Counters::default();
    let mut group = Group { answers: Vec::with_capacity(finishes.len()), news: false };
    for finish in finishes {
        sqlx::raw_sql("SAVEPOINT one").execute(&mut *connection).await?;
        let mut own = Counters::default();
        match record(connection, std::slice::from_ref(finish), &mut own).await {
            Ok((recorded, news)) => {
                counters.merge(own);
                group.news |= news;
                group.answers.push(if recorded[0] { Finished::Recorded } else { Finished::Stale });
                sqlx::raw_sql("RELEASE one").execute(&mut *connection).await?;
            }
            Err(fault) if fault.is_about_the_row() => {
                sqlx::raw_sql("ROLLBACK TO one; RELEASE one").execute(&mut *connection).await?;
                group.answers.push(Finished::Refused(fault.in_words().to_string()));
            }
            Err(fault) => return Err(fault),
        }
    }
    group.news |= counters.apply(connection).await?.finished;
    Ok(group)
}

/// Jobs whose dispatch is the one that counts, held in order of numbers: the newest one, without an
/// outcome so far. Also if the job was put back by a sweep and is ready again; and if a crash of the
/// server undid the dispatch, which shows by a ready job one fence behind: its call is paid for.
pub(super) const HOLD_CURRENT: &str = "
    SELECT q.n, q.run, q.key, f.fence, q.attempts, q.losses, q.withdrawn, q.state, q.fresh_ms, q.calls,
      q.input_tokens, q.output_tokens
    FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) f (n, id, fence), LATERAL (
      SELECT * FROM queue WHERE n = f.n AND (fence = f.fence OR fence + 1 = f.fence AND state + 0 = 0)
        AND settled_fence < f.fence AND id = f.id FOR UPDATE) q";

/// The statement; as a mutant it takes any finish.
pub(super) fn fenced(sql: &'static str) -> SqlStr {
    if kill_point::is_mutant("no_fence") {
        let any = sql
            .replace("(fence = f.fence", "(true")
            .replace("settled_fence < f.fence", "settled_fence < fence");
        return AssertSqlSafe(any).into_sql_str();
    }
    sql.into_sql_str()
}

async fn hold_current(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<HashMap<i64, Live>> {
    let mut finishes = finishes.to_vec();
    finishes.sort_unstable_by_key(|finish| number_of(finish.job));
    let rows = sqlx::query(fenced(HOLD_CURRENT))
        .bind(finishes.iter().map(|finish| number_of(finish.job)).collect::<Vec<_>>())
        .bind(finishes.iter().map(|finish| uuid_of(finish.job)).collect::<Vec<_>>())
        .bind(finishes.iter().map(|finish| finish.fence.cast_signed()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| live::read(row).map(|job| (job.n, job))).collect()
}

/// What a group writes, gathered before it is written.
#[derive(Default)]
struct Gathered<'a> {
    endings: Vec<Ending<'a>>,
    backs: Vec<Back>,
    /// Job, fence, error.
    failed: Vec<(i64, i64, String)>,
    /// Each with its run.
    follow_ups: Vec<(i64, &'a NewJob)>,
}

/// Which were recorded, and whether jobs may have become ready.
async fn record(
    connection: &mut PgConnection,
    finishes: &[&Finish],
    counters: &mut Counters,
) -> Result<(Vec<bool>, bool)> {
    let mut current = hold_current(connection, finishes).await?;
    let old = old::results(connection, finishes, &current).await?;
    let mut gathered = Gathered::default();
    let mut recorded = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let job = current.remove(&number_of(finish.job));
        recorded.push(job.is_some());
        if let Some(job) = job {
            let old = old.get(&job.n).copied();
            decide(finish, old, job, counters, &mut gathered);
        }
    }
    let Gathered { endings, backs, failed, follow_ups } = gathered;
    let mut news = !backs.is_empty();
    put_back::record_failed(connection, &failed).await?;
    put_back::put_back(connection, &backs).await?;
    news |= end_jobs(connection, endings, counters).await?;
    news |= insert_follow_ups(connection, &follow_ups, counters).await?;
    Ok((recorded, news))
}

fn decide<'a>(
    finish: &'a Finish,
    old: Option<OldResult>,
    mut job: Live,
    counters: &mut Counters,
    gathered: &mut Gathered<'a>,
) {
    let usage = bounded_usage(finish.usage);
    job.usage += usage;
    let counts = counters.of(job.run);
    counts.usage += usage;
    let decision = match &finish.decision {
        Decision::Reuse { otherwise, .. } if old.is_none() => otherwise,
        decision => decision,
    };
    let end = match decision {
        Decision::Succeed(done) => {
            job.attempts += 1;
            gathered.follow_ups.extend(done.follow_ups.iter().map(|next| (job.run, next)));
            End::Success(done)
        }
        Decision::Retry { delay, error } => {
            counts.retries += 1;
            job.attempts += 1;
            gathered.failed.push((job.n, job.fence, for_people(error)));
            if !job.withdrawn {
                gathered.backs.push(Back::new(&job, to_ms(*delay), Some(for_people(error))));
                return;
            }
            End::Cancelled
        }
        Decision::Snooze { .. } | Decision::Reuse { .. } if job.withdrawn => End::Cancelled,
        Decision::Reuse { why, .. } => match old {
            Some(old) => End::Lesser(old.result, for_people(&old_result(why, old.age))),
            // Not one in the other.
            None => return,
        },
        Decision::Snooze { delay, why } => {
            gathered.backs.push(Back::new(&job, to_ms(*delay), Some(for_people(why))));
            return;
        }
        Decision::Die { reason, error } => {
            gathered.failed.push((job.n, job.fence, for_people(error)));
            // A deadline that passes while the job waits costs no attempt.
            let counted = *reason != DeadReason::DeadlinePassed || finish.usage.calls > 0;
            job.attempts += i32::from(counted);
            End::Dead(*reason, for_people(error))
        }
        Decision::Cancel => End::Cancelled,
        Decision::Ignore => {
            gathered.backs.push(Back::stay(&job));
            return;
        }
    };
    gathered.endings.push(Ending { job, end });
}

async fn insert_follow_ups(
    connection: &mut PgConnection,
    follow_ups: &[(i64, &NewJob)],
    counters: &mut Counters,
) -> Result<bool> {
    if follow_ups.is_empty() {
        return Ok(false);
    }
    let ground = follow_up_ground(connection, follow_ups).await?;
    let mut births: Vec<Birth<'_>> = Vec::with_capacity(follow_ups.len());
    let mut seen = std::collections::HashSet::new();
    for ((run, job), (n, tenant, known)) in follow_ups.iter().zip(&ground) {
        if *known || job.seq.is_some_and(|seq| !seen.insert((*run, seq))) {
            continue;
        }
        let key: Uuid = super::numbers::key_of(tenant, &job.kind, &job.dedup_key);
        births.push(Birth { n: *n, run: *run, key, job });
    }
    let mut added = Added::default();
    if !births.is_empty() {
        bear(connection, &births, counters, &mut added).await?;
    }
    Ok(added.ready > 0)
}

/// For each: a number, the tenant, and whether its run has a job of its number in the run.
async fn follow_up_ground(
    connection: &mut PgConnection,
    follow_ups: &[(i64, &NewJob)],
) -> Result<Vec<(i64, String, bool)>> {
    let seqs: Vec<Option<i64>> = follow_ups.iter().map(|(_, job)| job.seq.map(u64::cast_signed)).collect();
    sqlx::query_as(
        "SELECT nextval('job_numbers'), r.tenant, j.seq IS NOT NULL
         FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY f (run, seq, i)
           CROSS JOIN LATERAL (SELECT tenant FROM runs WHERE n = f.run OFFSET 0) r
           LEFT JOIN LATERAL (SELECT seq FROM jobs WHERE run = f.run AND seq = f.seq OFFSET 0) j ON true
         ORDER BY f.i",
    )
    .bind(follow_ups.iter().map(|(run, _)| *run).collect::<Vec<_>>())
    .bind(seqs)
    .fetch_all(connection)
    .await
    .map_err(Fault::from)
}
