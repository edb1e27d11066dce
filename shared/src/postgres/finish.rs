//! Recording outcomes: fenced, a group at a time, in one transaction.
//!
//! Usual successes take the short way of [`super::fast`]. Here is the general one, in a handful of
//! statements however large the group is. Where one row cannot be written, the group goes one by
//! one, each in a savepoint of its own.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, Row, SqlSafeStr, SqlStr};
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

/// What became of a group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) answers: Vec<Finished>,
    /// Whether jobs may have become ready or a run finished.
    pub(super) news: bool,
    /// Jobs to which others are still attached: see [`Inherited`](super::end::Inherited).
    pub(super) unshared: Vec<i64>,
}

impl Group {
    fn add(&mut self, recorded: Recorded) {
        let answer = |recorded: &bool| if *recorded { Finished::Recorded } else { Finished::Stale };
        self.answers.extend(recorded.which.iter().map(answer));
        self.news |= recorded.any_ready;
        self.unshared.extend(recorded.unshared);
    }
}

/// All at once. A job is named once at most.
pub(super) async fn finish_all(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<Group> {
    let mut counters = Counters::default();
    let mut group = Group::default();
    group.add(record(connection, finishes, &mut counters).await?);
    group.news |= count(connection, counters).await?;
    Ok(group)
}

/// One by one: one that cannot be recorded spoils no other.
pub(super) async fn finish_each(connection: &mut PgConnection, finishes: &[&Finish]) -> Result<Group> {
    let mut counters = Counters::default();
    let mut group = Group::default();
    for finish in finishes {
        sqlx::raw_sql("SAVEPOINT one").execute(&mut *connection).await?;
        let mut own = Counters::default();
        match record(connection, std::slice::from_ref(finish), &mut own).await {
            Ok(recorded) => {
                counters.merge(own);
                group.add(recorded);
                sqlx::raw_sql("RELEASE one").execute(&mut *connection).await?;
            }
            Err(fault) if fault.is_about_the_row() => {
                sqlx::raw_sql("ROLLBACK TO one; RELEASE one").execute(&mut *connection).await?;
                group.answers.push(Finished::Refused(fault.in_words().to_string()));
            }
            Err(fault) => return Err(fault),
        }
    }
    group.news |= count(connection, counters).await?;
    Ok(group)
}

/// Whether a run finished. A run that was cancelled after its follow-ups were looked at takes none: the cancellation may
/// have passed them by.
async fn count(connection: &mut PgConnection, counters: Counters) -> Result<bool> {
    let counted = counters.apply(connection).await?;
    if counted.closed { Err(Fault::Overtaken) } else { Ok(counted.finished) }
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
    follow_ups: Vec<FollowUp<'a>>,
}

/// A job that another's success brings forth.
struct FollowUp<'a> {
    of: i64,
    /// In which it is wanted. `None`: its parent was cancelled.
    run: Option<i64>,
    job: &'a NewJob,
}

/// What recording did.
struct Recorded {
    /// Of the finishes, in their order.
    which: Vec<bool>,
    any_ready: bool,
    unshared: Vec<i64>,
}

async fn record(
    connection: &mut PgConnection,
    finishes: &[&Finish],
    counters: &mut Counters,
) -> Result<Recorded> {
    let mut current = hold_current(connection, finishes).await?;
    let old = old::results(connection, finishes, &current).await?;
    let mut gathered = Gathered::default();
    let mut which = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let job = current.remove(&number_of(finish.job));
        which.push(job.is_some());
        if let Some(job) = job {
            let old = old.get(&job.n).copied();
            decide(finish, old, job, counters, &mut gathered);
        }
    }
    let Gathered { endings, backs, failed, follow_ups } = gathered;
    let mut any_ready = !backs.is_empty();
    put_back::record_failed(connection, &failed).await?;
    put_back::put_back(connection, &backs).await?;
    let inherited = end_jobs(connection, endings, counters).await?;
    any_ready |= inherited.any_ready;
    any_ready |= insert_follow_ups(connection, &follow_ups, &inherited.runs, counters).await?;
    Ok(Recorded { which, any_ready, unshared: inherited.unshared })
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
            let run = (!job.withdrawn).then_some(job.run);
            let follow_up = |next| FollowUp { of: job.n, run, job: next };
            gathered.follow_ups.extend(done.follow_ups.iter().map(follow_up));
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

/// None for a job that was cancelled, or whose run was, unless a run that is not waits for the same thing:
/// `heirs` has the runs that got the results of jobs.
async fn insert_follow_ups(
    connection: &mut PgConnection,
    follow_ups: &[FollowUp<'_>],
    heirs: &HashMap<i64, i64>,
    counters: &mut Counters,
) -> Result<bool> {
    if follow_ups.is_empty() {
        return Ok(false);
    }
    let ground = follow_up_ground(connection, follow_ups, heirs).await?;
    let mut births: Vec<Birth<'_>> = Vec::with_capacity(follow_ups.len());
    let mut seen = std::collections::HashSet::new();
    for Ground { place, n, run, tenant, known } in &ground {
        let job = follow_ups[*place].job;
        if *known || job.seq.is_some_and(|seq| !seen.insert((*run, seq))) {
            continue;
        }
        let key: Uuid = super::numbers::key_of(tenant, &job.kind, &job.dedup_key);
        births.push(Birth { n: *n, run: *run, tenant, key, job });
    }
    let mut added = Added::default();
    if !births.is_empty() {
        bear(connection, &births, counters, &mut added).await?;
    }
    Ok(added.ready > 0)
}

/// What the birth of a follow-up needs to know.
struct Ground {
    /// Which of the follow-ups it is.
    place: usize,
    n: i64,
    run: i64,
    tenant: String,
    /// Whether the run has a job of its number in the run.
    known: bool,
}

/// Of those that are wanted.
async fn follow_up_ground(
    connection: &mut PgConnection,
    follow_ups: &[FollowUp<'_>],
    heirs: &HashMap<i64, i64>,
) -> Result<Vec<Ground>> {
    let rows = sqlx::query(
        "SELECT f.i, nextval('job_numbers'), r.n, r.tenant, j.seq IS NOT NULL
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY f (run, heir, seq, i)
           CROSS JOIN LATERAL (SELECT n, tenant FROM runs WHERE n = ANY(ARRAY[f.run, f.heir])
             AND cancelled_at IS NULL ORDER BY n <> f.run LIMIT 1) r
           LEFT JOIN LATERAL (SELECT seq FROM jobs WHERE run = r.n AND seq = f.seq OFFSET 0) j ON true
         ORDER BY f.i",
    )
    .bind(follow_ups.iter().map(|next| next.run).collect::<Vec<_>>())
    .bind(follow_ups.iter().map(|next| heirs.get(&next.of).copied()).collect::<Vec<_>>())
    .bind(follow_ups.iter().map(|next| next.job.seq.map(u64::cast_signed)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).expect("unnest counts from 1");
            let (n, run, tenant) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok(Ground { place, n, run, tenant, known: row.try_get(4)? })
        })
        .collect()
}
