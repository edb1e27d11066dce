//! Twins: jobs of one key, of which one is live and the others are attached to it.

use std::collections::HashMap;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use super::live::Live;
use super::numbers::limit;
use crate::domain::Usage;

/// A job that waits for its twin.
pub(super) struct Attached {
    pub(super) n: i64,
    pub(super) run: i64,
    /// Its deadline has passed: it takes nobody's place.
    pub(super) late: bool,
}

impl Attached {
    /// As it has not lived yet.
    pub(super) fn as_live(&self, key: Uuid) -> Live {
        Live {
            n: self.n,
            run: self.run,
            key,
            fence: 0,
            attempts: 0,
            losses: 0,
            withdrawn: false,
            fresh_ms: None,
            usage: Usage::default(),
        }
    }
}

/// Attached jobs that one step serves at most, about: it takes a second or two, and not the longer the more there are.
pub(super) const ROUND: usize = 2_000;
/// Of each twin so many at least. Most have one or two.
const LEAST: usize = 3;

/// What is attached to a job.
#[derive(Default)]
pub(super) struct Waiting {
    /// The oldest first.
    pub(super) jobs: Vec<Attached>,
    /// Whether there may be others.
    pub(super) more: bool,
}

/// The oldest of each twin are found first, then held in order of numbers: so two steps that hold attached jobs
/// never wait for each other. Said in pairs, for which only the index `queue_attached` will do. Those that
/// have ended meanwhile, by a cancellation, are found and not held.
pub(super) const ATTACHED_TO: &str = "
    SELECT found.twin, q.n, q.run, q.late
    FROM (SELECT of_twin.* FROM unnest($1::bigint[]) t (twin), LATERAL (
            SELECT twin, n FROM queue WHERE state = 2 AND (twin, n) > (t.twin, 0) AND twin <= t.twin
            ORDER BY twin, n LIMIT $2) of_twin
          ORDER BY of_twin.n) found
      LEFT JOIN LATERAL (
        SELECT n, run, coalesce(deadline <= now(), false) AS late FROM queue
        WHERE n = found.n AND state + 0 = 2 AND twin = found.twin FOR UPDATE) q ON true";

/// What is attached to each of the jobs, as much as one step serves.
pub(super) async fn attached_to(
    connection: &mut PgConnection,
    twins: &[i64],
) -> Result<HashMap<i64, Waiting>> {
    let mut attached: HashMap<i64, Waiting> = HashMap::new();
    if twins.is_empty() {
        return Ok(attached);
    }
    let most = (ROUND / twins.len()).max(LEAST);
    let rows = sqlx::query(ATTACHED_TO).bind(twins).bind(limit(most)).fetch_all(connection).await?;
    let mut found: HashMap<i64, usize> = HashMap::new();
    for row in &rows {
        let twin = row.try_get(0)?;
        let waiting = attached.entry(twin).or_default();
        let number = found.entry(twin).or_default();
        *number += 1;
        waiting.more = *number >= most;
        if let Some(n) = row.try_get(1)? {
            waiting.jobs.push(Attached { n, run: row.try_get(2)?, late: row.try_get(3)? });
        }
    }
    Ok(attached)
}

/// The oldest attached job takes the place of its twin; the others wait for it.
pub(super) struct Heir {
    pub(super) n: i64,
    pub(super) run: i64,
    /// Those that wait for it from now on.
    pub(super) others: Vec<Attached>,
}

impl Heir {
    /// Of these, the oldest first.
    pub(super) fn oldest_of(mut jobs: Vec<Attached>) -> Option<Self> {
        if jobs.is_empty() {
            return None;
        }
        let Attached { n, run, .. } = jobs.remove(0);
        Some(Self { n, run, others: jobs })
    }

    /// What `dedup` is to say of it: the live job and its run, and whether others wait for it.
    pub(super) fn place(&self) -> (Option<(i64, i64)>, bool) {
        (Some((self.n, self.run)), !self.others.is_empty())
    }
}

pub(super) const INHERIT: &str = "
    UPDATE queue SET state = 0, run_at = now(), twin = NULL, elsewhere = false
    WHERE n = ANY($1)";
pub(super) const REATTACH: &str = "
    UPDATE queue q SET twin = a.twin, elsewhere = a.elsewhere
    FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) a (n, twin, elsewhere)
    WHERE q.n = ANY(ARRAY[a.n])";

pub(super) async fn promote(connection: &mut PgConnection, heirs: &[Heir]) -> Result<()> {
    if heirs.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = heirs.iter().map(|heir| heir.n).collect();
    sqlx::query(INHERIT).bind(&numbers).execute(&mut *connection).await?;
    reattach(connection, heirs).await
}

/// To jobs that are live already, or were just promoted.
pub(super) async fn reattach(connection: &mut PgConnection, heirs: &[Heir]) -> Result<()> {
    let others = || heirs.iter().flat_map(|heir| heir.others.iter().map(move |other| (heir, other)));
    if others().next().is_some() {
        sqlx::query(REATTACH)
            .bind(others().map(|(_, other)| other.n).collect::<Vec<_>>())
            .bind(others().map(|(heir, _)| heir.n).collect::<Vec<_>>())
            .bind(others().map(|(heir, other)| heir.run != other.run).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}
