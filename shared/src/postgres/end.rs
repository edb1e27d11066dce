//! Ending jobs: their rows of the queue become endings, and what is attached to them gets its share.

use std::collections::HashMap;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::codes::{CANCELLED, DEAD, SUCCEEDED, reason_code};
use super::counters::Counters;
use super::expire::too_late;
use super::fault::Result;
use super::live::Live;
use super::twins::{Attached, Heir, Waiting, attached_to, promote};
use super::{shares, store};
use crate::domain::{DeadReason, ErasedDone};

/// How a job ends.
#[derive(Clone, Debug)]
pub(super) enum End<'a> {
    /// With the result of its own attempt.
    Success(&'a ErasedDone),
    /// With the result of another.
    Shared(i64),
    /// With the result of another, which is not what was asked for, and why.
    Lesser(i64, String),
    Dead(DeadReason, String),
    Cancelled,
}

impl End<'_> {
    pub(super) fn state(&self) -> i16 {
        match self {
            Self::Success(_) | Self::Shared(_) | Self::Lesser(..) => SUCCEEDED,
            Self::Dead(..) => DEAD,
            Self::Cancelled => CANCELLED,
        }
    }

    pub(super) fn reason(&self) -> Option<i16> {
        match self {
            Self::Dead(reason, _) => Some(reason_code(*reason)),
            _ => None,
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::Dead(_, error) | Self::Lesser(_, error) => Some(error),
            Self::Success(done) => done.stand_in.as_deref(),
            _ => None,
        }
    }

    /// What those get that asked for the same thing. `None`: the oldest of them that is not too late takes its place.
    /// Where the request itself can never work they share its fate instead of paying for it again.
    pub(super) fn for_attached(&self, n: i64) -> Option<End<'static>> {
        match self {
            Self::Success(done) => Some(match &done.stand_in {
                Some(why) => End::Lesser(n, why.clone()),
                None => End::Shared(n),
            }),
            Self::Shared(result) => Some(End::Shared(*result)),
            Self::Lesser(result, why) => Some(End::Lesser(*result, why.clone())),
            Self::Dead(reason @ (DeadReason::Permanent | DeadReason::BadPayload), error) => {
                Some(End::Dead(*reason, error.clone()))
            }
            Self::Dead(..) | Self::Cancelled => None,
        }
    }
}

/// A job with its end. Attempts and usage are as they are at the end.
pub(super) struct Ending<'a> {
    pub(super) job: Live,
    pub(super) end: End<'a>,
}

/// What `dedup` is to say of a key from now on.
pub(super) struct KeyChange {
    pub(super) key: Uuid,
    pub(super) live: Option<(i64, i64)>,
    pub(super) waiting: bool,
    /// The new result and how long it is fresh.
    pub(super) result: Option<(i64, Option<i64>)>,
}

/// What the ends of jobs mean for those that waited for them.
#[derive(Default)]
pub(super) struct Inherited {
    /// Whether a job became ready.
    pub(super) any_ready: bool,
    /// By the number of a job that left its end to others: the run of the oldest of them.
    pub(super) runs: HashMap<i64, i64>,
    /// Jobs to which more are attached than one step serves: the others are served [in rounds](shares).
    pub(super) unshared: Vec<i64>,
    /// How many of those that waited were too late to take a place.
    pub(super) expired: u64,
}

/// Ends ready and dispatched jobs whose rows of the queue are held, and the oldest of those that are attached to
/// them.
pub(super) async fn end_jobs(
    connection: &mut PgConnection,
    endings: Vec<Ending<'_>>,
    counters: &mut Counters,
) -> Result<Inherited> {
    let mut inherited = Inherited::default();
    if endings.is_empty() {
        return Ok(inherited);
    }
    let waited_for = hold_keys(connection, &endings).await?;
    let mut attached = attached_to(connection, &waited_for).await?;
    let mut all = Vec::with_capacity(endings.len());
    let mut keys = Vec::with_capacity(endings.len());
    let mut heirs = Vec::new();
    let mut unshared = Vec::new();
    for ending in endings {
        let job = &ending.job;
        let Waiting { jobs: waiting, more } = attached.remove(&job.n).unwrap_or_default();
        if more {
            unshared.push((job.n, job.key));
        }
        let mut change = KeyChange { key: job.key, live: None, waiting: false, result: None };
        if let End::Success(done) = ending.end
            && done.stand_in.is_none()
        {
            change.result = Some((job.n, job.fresh_ms));
        }
        if let Some(end) = ending.end.for_attached(job.n) {
            let share = |one: Attached| Ending { job: one.as_live(job.key), end: end.clone() };
            inherited.runs.extend(waiting.first().map(|oldest| (job.n, oldest.run)));
            all.extend(waiting.into_iter().map(share));
        } else {
            let (late, in_time): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| one.late);
            inherited.expired += late.len() as u64;
            all.extend(late.into_iter().map(|one| too_late(one.as_live(job.key))));
            if let Some(heir) = Heir::oldest_of(in_time) {
                (change.live, change.waiting) = heir.place();
                heirs.push(heir);
            }
        }
        keys.push(change);
        all.push(ending);
    }
    for ending in &all {
        count(counters, ending);
    }
    store::endings(connection, &all).await?;
    store::keys(connection, &keys).await?;
    promote(connection, &heirs).await?;
    shares::owe(connection, &unshared).await?;
    inherited.any_ready = !heirs.is_empty();
    inherited.unshared = unshared.into_iter().map(|(twin, _)| twin).collect();
    Ok(inherited)
}

/// Ends attached jobs whose rows are held. Nobody waits for them.
pub(super) async fn end_attached(
    connection: &mut PgConnection,
    endings: Vec<Ending<'_>>,
    counters: &mut Counters,
) -> Result<()> {
    for ending in &endings {
        count(counters, ending);
    }
    store::endings(connection, &endings).await
}

fn count(counters: &mut Counters, ending: &Ending<'_>) {
    let counts = counters.of(ending.job.run);
    match ending.end {
        End::Success(_) => counts.succeeded += 1,
        End::Shared(_) | End::Lesser(..) => {
            counts.succeeded += 1;
            counts.reused += 1;
        }
        End::Dead(..) => counts.dead += 1,
        End::Cancelled => counts.cancelled += 1,
    }
}

/// Holds the rows of the keys, in their order. From then on nothing is attached to the jobs that is
/// not seen by the next statement. Answers which jobs may have something attached.
async fn hold_keys(connection: &mut PgConnection, endings: &[Ending<'_>]) -> Result<Vec<i64>> {
    let of_key: HashMap<Uuid, i64> = endings.iter().map(|ending| (ending.job.key, ending.job.n)).collect();
    let rows = sqlx::query("SELECT key, waiting FROM dedup WHERE key = ANY($1) ORDER BY key FOR UPDATE")
        .bind(of_key.keys().copied().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let mut waited_for = Vec::new();
    for row in &rows {
        if row.try_get::<bool, _>(1)?
            && let Some(n) = of_key.get(&row.try_get::<Uuid, _>(0)?)
        {
            waited_for.push(*n);
        }
    }
    Ok(waited_for)
}
