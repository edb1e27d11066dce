//! Adding jobs, a batch at a time: each becomes ready, reuses a result, or attaches to its live twin.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::codes::{ATTACHED, SUCCEEDED};
use super::counters::Counters;
use super::fault::{Fault, Result};
use super::insert::insert;
use super::numbers::{bounded, key_of};
use super::runs::uuid_of;
use crate::domain::{NewJob, RunId};
use crate::ports::Added;

/// What a batch needs to know before its transaction: the run, its known jobs, and numbers for new
/// ones.
pub(super) struct Ground {
    run: i64,
    tenant: String,
    closed: bool,
    known: HashSet<i64>,
    numbers: Vec<i64>,
}

impl Ground {
    /// Of a run that this transaction has made.
    pub(super) fn of_new_run(run: i64, tenant: &str, numbers: Vec<i64>) -> Self {
        Self { run, tenant: tenant.to_owned(), closed: false, known: HashSet::new(), numbers }
    }
}

pub(super) const GROUND: &str = "
    SELECT r.n, r.tenant, r.cancelled_at IS NOT NULL OR r.state = 2,
      ARRAY(SELECT j.seq FROM unnest($2::bigint[]) s (seq),
        LATERAL (SELECT seq FROM jobs WHERE run = r.n AND seq = s.seq OFFSET 0) j),
      ARRAY(SELECT nextval('job_numbers') FROM generate_series(1, $3))
    FROM runs r WHERE r.id = $1";

pub(super) async fn ground(connection: &mut PgConnection, id: RunId, jobs: &[NewJob]) -> Result<Ground> {
    let seqs: Vec<i64> = jobs.iter().filter_map(|job| job.seq).map(u64::cast_signed).collect();
    let row = sqlx::query(GROUND)
        .bind(uuid_of(id))
        .bind(seqs)
        .bind(i32::try_from(jobs.len()).unwrap_or(i32::MAX))
        .fetch_optional(connection)
        .await?
        .ok_or(Fault::NoRun(id))?;
    Ok(Ground {
        run: row.try_get(0)?,
        tenant: row.try_get(1)?,
        closed: row.try_get(2)?,
        known: row.try_get::<Vec<i64>, _>(3)?.into_iter().collect(),
        numbers: row.try_get(4)?,
    })
}

/// Adds a batch in an open transaction. A number that another adds to the same run at the same
/// time is a duplicate error: everything is undone, and the repeat finds it known.
pub(super) async fn add_jobs(
    connection: &mut PgConnection,
    id: RunId,
    jobs: &[NewJob],
    ground: &Ground,
) -> Result<Added> {
    let mut added = Added::default();
    let mut seen = ground.known.clone();
    let mut births = Vec::with_capacity(jobs.len());
    for (job, n) in jobs.iter().zip(&ground.numbers) {
        if job.seq.is_some_and(|seq| !seen.insert(seq.cast_signed())) {
            added.known += 1;
        } else {
            births.push(Birth {
                n: *n,
                run: ground.run,
                tenant: &ground.tenant,
                key: key_of(&ground.tenant, &job.kind, &job.dedup_key),
                job,
            });
        }
    }
    if births.is_empty() {
        return Ok(added);
    }
    if ground.closed {
        return Err(Fault::RunClosed(id));
    }
    let mut counters = Counters::default();
    bear(connection, &births, &mut counters, &mut added).await?;
    // Again, now that the run's row is held: it may have been cancelled meanwhile.
    if counters.apply(connection).await?.closed { Err(Fault::RunClosed(id)) } else { Ok(added) }
}

/// A job to be inserted.
pub(super) struct Birth<'a> {
    pub(super) n: i64,
    pub(super) run: i64,
    /// The run's.
    pub(super) tenant: &'a str,
    pub(super) key: Uuid,
    pub(super) job: &'a NewJob,
}

/// How a new job starts its life.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Ready,
    Reuse { result: i64 },
    Attach { twin: i64, elsewhere: bool },
}

impl Start {
    /// Its code as a state.
    pub(super) fn state(self) -> i16 {
        match self {
            Self::Ready => 0,
            Self::Reuse { .. } => SUCCEEDED,
            Self::Attach { .. } => ATTACHED,
        }
    }
}

/// Decides how each starts and inserts them all.
pub(super) async fn bear(
    connection: &mut PgConnection,
    births: &[Birth<'_>],
    counters: &mut Counters,
    added: &mut Added,
) -> Result<()> {
    let claims = claim(connection, births).await?;
    let mut starts = Vec::with_capacity(births.len());
    for birth in births {
        let start = claims[&birth.key].start_of(birth);
        let counts = counters.of(birth.run);
        counts.jobs += 1;
        counts.occurrences += bounded(birth.job.occurrences).cast_unsigned();
        match start {
            Start::Ready => added.ready += 1,
            Start::Attach { .. } => added.attached += 1,
            Start::Reuse { .. } => {
                added.reused += 1;
                counts.succeeded += 1;
                counts.reused += 1;
            }
        }
        starts.push(start);
    }
    insert(connection, births, &starts).await
}

/// What `dedup` says of a key after the claim.
struct Claim {
    live: Option<i64>,
    live_run: Option<i64>,
    result: Option<i64>,
}

impl Claim {
    fn start_of(&self, birth: &Birth<'_>) -> Start {
        match (self.result, self.live) {
            (Some(result), _) => Start::Reuse { result },
            (None, Some(live)) if live != birth.n => {
                Start::Attach { twin: live, elsewhere: self.live_run != Some(birth.run) }
            }
            (None, _) => Start::Ready,
        }
    }
}

/// Claims keys for the new jobs of these rows: `key, live, live_run, waiting`, in order of keys, so that two
/// batches never wait for each other. The row of each key stays locked until the commit: of two submissions
/// of a key one is ready, and no live job ends without seeing who is attached to it.
macro_rules! claim_keys {
    ($rows:literal) => {
        concat!(
            "INSERT INTO dedup AS d (key, live, live_run, waiting) ",
            $rows,
            "
    ON CONFLICT (key) DO UPDATE SET
      live = CASE WHEN d.result IS NOT NULL AND (d.fresh_until IS NULL OR d.fresh_until > now())
        THEN d.live ELSE coalesce(d.live, excluded.live) END,
      live_run = CASE WHEN d.live IS NULL AND NOT
          (d.result IS NOT NULL AND (d.fresh_until IS NULL OR d.fresh_until > now()))
        THEN excluded.live_run ELSE d.live_run END,
      waiting = CASE WHEN d.result IS NOT NULL AND (d.fresh_until IS NULL OR d.fresh_until > now())
        THEN d.waiting ELSE d.live IS NOT NULL OR excluded.waiting END
    RETURNING key, live, live_run,
      CASE WHEN fresh_until IS NULL OR fresh_until > now() THEN result END AS result"
        )
    };
}

pub(super) use claim_keys;

const CLAIM: &str =
    claim_keys!("SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[])");

async fn claim(connection: &mut PgConnection, births: &[Birth<'_>]) -> Result<HashMap<Uuid, Claim>> {
    let mut first: HashMap<Uuid, usize> = HashMap::with_capacity(births.len());
    let mut claims: Vec<(Uuid, i64, i64, bool)> = Vec::with_capacity(births.len());
    for birth in births {
        match first.entry(birth.key) {
            std::collections::hash_map::Entry::Occupied(place) => claims[*place.get()].3 = true,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(claims.len());
                claims.push((birth.key, birth.n, birth.run, false));
            }
        }
    }
    claims.sort_unstable_by_key(|claim| claim.0);
    let rows = sqlx::query(CLAIM)
        .bind(claims.iter().map(|claim| claim.0).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| claim.1).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| claim.2).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| claim.3).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let claim = Claim { live: row.try_get(1)?, live_run: row.try_get(2)?, result: row.try_get(3)? };
            Ok((row.try_get(0)?, claim))
        })
        .collect()
}
