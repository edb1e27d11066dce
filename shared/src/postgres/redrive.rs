//! Dead jobs sent again, as new jobs of a new run: terminal states never change.
//!
//! In rounds, each a transaction of its own: so there may be any number, and what is done is done. The run stays open
//! until the last one, and `redriving` says how far it is. Where nobody is left to go on, a sweep seals the run:
//! what is not in it is still dead, and another redrive finds it.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::counters::Counters;
use super::fault::{Fault, Result};
use super::numbers::{key_of, limit, number_of, uuid_of};
use super::query::{json, raw};
use super::runs::{self, find_run, insert_run};
use super::submit::{Birth, bear};
use crate::domain::{DedupKey, Estimate, NewJob, NewRun};
use crate::ports::{Added, DeadJobs};

/// Dead jobs in one transaction at most.
const ROUND: Most = Most { jobs: 2000, bytes: 16 << 20 };
/// Jobs read and inserted at a time.
const BATCH: Most = Most { jobs: 1000, bytes: 1 << 20 };

/// A bound on jobs, by number and by size of their args: they pass through the memory of both sides.
struct Most {
    jobs: usize,
    bytes: i64,
}

impl Most {
    /// How many of the first, whose args are so large, are within it: one at least.
    fn of(&self, sizes: impl Iterator<Item = i64>) -> usize {
        let mut bytes = 0;
        let fits = |size: &i64| {
            bytes += size;
            bytes <= self.bytes
        };
        sizes.take(self.jobs).take_while(fits).count().max(1)
    }
}

/// What a round did.
pub(super) enum Round {
    /// As many as it takes: there may be others. How many there are until now.
    Full(u64),
    /// The last ones: how many there are altogether. The run is sealed, or there is none if it is 0.
    Last(u64),
    /// Nothing: there is a run of this id, to which no redrive adds.
    Known,
}

/// How far a redrive is.
struct Progress {
    run: i64,
    /// The last dead job that is sent again, and the last that is to be.
    done_to: i64,
    last: i64,
    jobs: i64,
    /// It was cancelled meanwhile, and takes no more.
    closed: bool,
}

/// In a transaction. The first one makes the run.
pub(super) async fn round(connection: &mut PgConnection, which: &DeadJobs, into: &NewRun) -> Result<Round> {
    let begun = progress(connection, into).await?;
    let (done_to, last) = match &begun {
        Some(progress) => (progress.done_to, progress.last),
        None => (0, newest_dead(connection).await?),
    };
    let dead = match &begun {
        Some(Progress { closed: true, .. }) => Vec::new(),
        _ => find(connection, which, &into.tenant, done_to, last).await?,
    };
    let mut progress = match begun {
        Some(progress) => progress,
        None if dead.is_empty() => return Ok(Round::Last(0)),
        None => match insert_run(connection, into, None, 0).await? {
            Some((run, _)) => Progress { run, done_to, last, jobs: 0, closed: false },
            None => return Ok(Round::Known),
        },
    };
    let sent = send_again(connection, &progress, &dead, into).await?;
    progress.jobs += limit(sent.len());
    if sent.len() < dead.len() || sent.len() == ROUND.jobs {
        progress.done_to = sent.last().copied().unwrap_or(last);
        note(connection, &progress).await?;
        return Ok(Round::Full(progress.jobs.cast_unsigned()));
    }
    seal(connection, progress.run).await?;
    Ok(Round::Last(progress.jobs.cast_unsigned()))
}

/// Held, so that no sweep seals the run meanwhile.
async fn progress(connection: &mut PgConnection, into: &NewRun) -> Result<Option<Progress>> {
    let row = sqlx::query(
        "SELECT p.run, p.done_to, p.last, p.jobs, r.cancelled_at IS NOT NULL
         FROM runs r JOIN redriving p ON p.run = r.n WHERE r.id = $1 FOR UPDATE OF p",
    )
    .bind(runs::uuid_of(into.id))
    .fetch_optional(connection)
    .await?;
    let read = |row: PgRow| {
        Ok(Progress {
            run: row.try_get(0)?,
            done_to: row.try_get(1)?,
            last: row.try_get(2)?,
            jobs: row.try_get(3)?,
            closed: row.try_get(4)?,
        })
    };
    row.map(read).transpose()
}

/// What dies later is of the next redrive: jobs of this one may die before it is done.
async fn newest_dead(connection: &mut PgConnection) -> Result<i64> {
    let newest = sqlx::query_scalar("SELECT coalesce(max(n), 0) FROM endings WHERE state = 4");
    Ok(newest.fetch_one(connection).await?)
}

/// Gives birth to successors of the dead, and marks these. Answers which are sent again, in order: the first ones.
async fn send_again(
    connection: &mut PgConnection,
    progress: &Progress,
    dead: &[i64],
    into: &NewRun,
) -> Result<Vec<i64>> {
    let run = progress.run;
    let mut counters = Counters::default();
    let mut successors = successors(connection, dead, &into.tenant).await?;
    let mut sent: Vec<i64> = successors.iter().map(|successor| successor.of).collect();
    sent.sort_unstable();
    let mut rest = successors.as_mut_slice();
    while !rest.is_empty() {
        let batch = BATCH.of(rest.iter().map(|successor| successor.bytes));
        let (batch, others) = rest.split_at_mut(batch);
        rest = others;
        batch.sort_unstable_by_key(|successor| successor.of);
        let jobs = read(connection, batch).await?;
        let births: Vec<Birth<'_>> = batch
            .iter()
            .zip(&jobs)
            .map(|(Successor { n, key, .. }, job)| Birth { n: *n, run, tenant: &into.tenant, key: *key, job })
            .collect();
        bear(connection, &births, &mut counters, &mut Added::default()).await?;
    }
    sqlx::query("UPDATE endings SET redriven_as = $2 WHERE n = ANY($1)")
        .bind(&sent)
        .bind(run)
        .execute(&mut *connection)
        .await?;
    // Again, now that the run's row is held: it may have been cancelled meanwhile.
    if counters.apply(connection).await?.closed { Err(Fault::RunClosed(into.id)) } else { Ok(sent) }
}

async fn note(connection: &mut PgConnection, progress: &Progress) -> Result<()> {
    sqlx::query(
        "INSERT INTO redriving (run, done_to, last, jobs) VALUES ($1, $2, $3, $4)
         ON CONFLICT (run) DO UPDATE SET done_to = excluded.done_to, jobs = excluded.jobs, at = now()",
    )
    .bind(progress.run)
    .bind(progress.done_to)
    .bind(progress.last)
    .bind(progress.jobs)
    .execute(connection)
    .await?;
    Ok(())
}

async fn seal(connection: &mut PgConnection, run: i64) -> Result<()> {
    sqlx::query("DELETE FROM redriving WHERE run = $1").bind(run).execute(&mut *connection).await?;
    sqlx::query(SEAL).bind(vec![run]).execute(connection).await?;
    Ok(())
}

/// Seals the run of a redrive that cannot go on. In a transaction. Answers how many jobs are in it.
pub(super) async fn stop(connection: &mut PgConnection, into: &NewRun) -> Result<u64> {
    if let Some(begun) = progress(connection, into).await? {
        seal(connection, begun.run).await?;
    }
    Ok(redriven(connection, into).await?.0)
}

const SEAL: &str = "UPDATE runs SET state = greatest(state, 1::smallint) WHERE n = ANY($1)";

/// Seals the runs of redrives that somebody has left. In a transaction. Answers how many.
pub(super) async fn seal_left(connection: &mut PgConnection) -> Result<usize> {
    let left: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM redriving WHERE run = ANY(ARRAY(
           SELECT run FROM redriving WHERE at < now() - interval '5 minutes' FOR UPDATE SKIP LOCKED))
         RETURNING run",
    )
    .fetch_all(&mut *connection)
    .await?;
    if !left.is_empty() {
        sqlx::query(SEAL).bind(&left).execute(connection).await?;
    }
    Ok(left.len())
}

/// How many jobs are in the run, and whether a redrive still adds to it.
pub(super) async fn redriven(connection: &mut PgConnection, into: &NewRun) -> Result<(u64, bool)> {
    let found: Option<(i64, bool)> = sqlx::query_as(
        "SELECT jobs, EXISTS (SELECT FROM redriving WHERE run = runs.n) FROM runs WHERE id = $1",
    )
    .bind(runs::uuid_of(into.id))
    .fetch_optional(connection)
    .await?;
    let (jobs, goes_on) = found.unwrap_or_default();
    Ok((jobs.cast_unsigned(), goes_on))
}

const ALL_DEAD: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 AND e.n > $2 AND e.n <= $3
    ORDER BY e.n LIMIT $4 FOR NO KEY UPDATE OF e";
/// Said in pairs, for which only the index `endings_dead_of_run` will do.
const DEAD_OF_RUN: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 AND (e.run, e.n) > ($5, $2) AND e.run <= $5
      AND e.n <= $3
    ORDER BY e.run, e.n LIMIT $4 FOR NO KEY UPDATE OF e";
const DEAD_ONES: &str = "
    SELECT e.n FROM endings e JOIN runs r ON r.n = e.run
    WHERE e.state = 4 AND e.redriven_as IS NULL AND r.tenant = $1 AND e.n > $2 AND e.n <= $3
      AND e.n = ANY(ARRAY(
        SELECT j.n FROM unnest($5::bigint[], $6::uuid[]) d (n, id) JOIN jobs j ON j.n = d.n AND j.id = d.id))
    ORDER BY e.n LIMIT $4 FOR NO KEY UPDATE OF e";

/// The next of them, held.
async fn find(
    connection: &mut PgConnection,
    which: &DeadJobs,
    tenant: &str,
    after: i64,
    last: i64,
) -> Result<Vec<i64>> {
    let next = |sql: &'static str| {
        sqlx::query_scalar(sql).bind(tenant).bind(after).bind(last).bind(limit(ROUND.jobs))
    };
    let query = match which {
        DeadJobs::All => next(ALL_DEAD),
        DeadJobs::Run(run) => next(DEAD_OF_RUN).bind(find_run(connection, *run).await?),
        DeadJobs::Jobs(jobs) => next(DEAD_ONES)
            .bind(jobs.iter().map(|job| number_of(*job)).collect::<Vec<_>>())
            .bind(jobs.iter().map(|job| uuid_of(*job)).collect::<Vec<_>>()),
    };
    Ok(query.fetch_all(connection).await?)
}

/// The job that a dead one becomes.
struct Successor {
    key: Uuid,
    of: i64,
    n: i64,
    /// Size of its args.
    bytes: i64,
}

/// Of the first of the dead, as many as a round takes, in order of keys: batches claim their keys one after the other,
/// and each waits for whoever holds one, so all must be in the order in which everybody claims. Their numbers are in
/// the order of the dead.
async fn successors(connection: &mut PgConnection, dead: &[i64], tenant: &str) -> Result<Vec<Successor>> {
    let rows = sqlx::query(
        "SELECT n, kind, dedup_key, octet_length(args)::bigint AS bytes FROM jobs WHERE n = ANY($1) ORDER BY n",
    )
    .bind(dead)
    .fetch_all(&mut *connection)
    .await?;
    let sizes: Vec<i64> = rows.iter().map(|row| row.try_get("bytes")).collect::<sqlx::Result<_>>()?;
    let most = ROUND.of(sizes.iter().copied()).min(rows.len());
    let numbers: Vec<i64> = sqlx::query_scalar("SELECT nextval('job_numbers') FROM generate_series(1, $1)")
        .bind(limit(most))
        .fetch_all(&mut *connection)
        .await?;
    let mut successors = Vec::with_capacity(most);
    for ((row, bytes), n) in rows.iter().zip(sizes).zip(numbers) {
        let key = key_of(tenant, row.try_get("kind")?, &DedupKey::from_bytes(row.try_get("dedup_key")?));
        successors.push(Successor { key, of: row.try_get("n")?, n, bytes });
    }
    // Of twins the oldest first: the others are attached to it.
    successors.sort_unstable_by_key(|successor| (successor.key, successor.of));
    Ok(successors)
}

/// The dead jobs as they were submitted, in order of their numbers.
async fn read(connection: &mut PgConnection, successors: &[Successor]) -> Result<Vec<NewJob>> {
    let rows = sqlx::query(
        "SELECT kind, args, dedup_key, priority, upstream, est_input, est_output, source, occurrences,
           max_attempts, fresh_ms, deadline_ms
         FROM jobs WHERE n = ANY($1) ORDER BY n",
    )
    .bind(successors.iter().map(|successor| successor.of).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_job).collect()
}

fn read_job(row: &PgRow) -> Result<NewJob> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let millis = |column: &str| {
        row.try_get::<Option<i64>, _>(column)
            .map(|ms| ms.map(|ms| Duration::from_millis(ms.max(0).cast_unsigned())))
    };
    let upstream: String = row.try_get("upstream")?;
    Ok(NewJob {
        seq: None,
        kind: row.try_get("kind")?,
        args: raw(row.try_get("args")?)?,
        dedup_key: DedupKey::from_bytes(row.try_get("dedup_key")?),
        priority: row.try_get("priority")?,
        upstream: (!upstream.is_empty()).then_some(upstream),
        estimate: Estimate { input_tokens: number("est_input")?, output_tokens: number("est_output")? },
        source: json(row.try_get("source")?)?,
        occurrences: number("occurrences")?,
        max_attempts: u16::try_from(row.try_get::<i32, _>("max_attempts")?).unwrap_or(u16::MAX),
        fresh_for: millis("fresh_ms")?,
        deadline: millis("deadline_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_kept_by_number_and_by_size() {
        let most = Most { jobs: 3, bytes: 10 };
        for (sizes, taken) in [
            (&[1, 1][..], 2),
            (&[1, 1, 1, 1], 3),
            (&[5, 5, 1], 2),
            (&[5, 6], 1),
            (&[11, 1], 1),
            (&[0, 11], 1),
        ] {
            assert_eq!(most.of(sizes.iter().copied()), taken, "{sizes:?}");
        }
    }
}
