//! Many that wait for one job: a result, or the failure of all, comes to them in rounds, each a transaction of its
//! own. The step that ends the job serves the oldest and notes the job in `unshared`; the process that did it goes
//! on at once, beside its other work. Where nobody is left to do it, or it fails, a sweep does.
//!
//! Nothing attaches itself to a job that has ended, so those that wait for it become fewer with each round.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::codes::{DEAD, SUCCEEDED, dead_reason};
use super::counters::Counters;
use super::end::{End, Ending, KeyChange, end_attached};
use super::expire::too_late;
use super::fault::{Fault, Result};
use super::retry::{perform, transact_repeatably};
use super::twins::{Attached, Heir, Waiting, attached_to, promote, reattach};
use super::{PostgresLedger, store};
use crate::domain::{DeadReason, PortError};
use crate::ports::New;

/// Jobs that one sweep takes from all others at a time.
const PORTION: i64 = 100;
/// A sweep shares for about so long: it has other duties, and the next one goes on.
const SWEEP: Duration = Duration::from_secs(20);
/// Faults of so many jobs one after the other are the server's: the others are left to a sweep.
const FAULTS: u32 = 30;
/// After a broken connection: a server that starts again takes a few seconds.
const REST: Duration = Duration::from_secs(1);

impl PostgresLedger {
    /// Serves all that still wait for these jobs, without keeping the caller.
    pub(super) fn share_later(&self, twins: Vec<i64>) {
        if twins.is_empty() {
            return;
        }
        let (ledger, sharing) = (self.clone(), self.sharing.subscribe());
        tokio::spawn(async move {
            // What fails is logged, and left to a sweep.
            let _ = ledger.share(twins, None).await;
            drop(sharing);
        });
    }

    /// Goes on with what was begun by somebody who died, until nothing of it is left. Answers with the first fault.
    pub(super) async fn go_on_sharing(&self) -> std::result::Result<(), PortError> {
        let until = Instant::now() + SWEEP;
        let (mut jobs, mut first) = (0, None);
        while Instant::now() < until {
            let left = match perform!(self, connection => claim_left(&mut connection)) {
                Ok(left) if left.is_empty() => break,
                left => left.map_err(Fault::in_words)?,
            };
            jobs += left.len();
            if let Err(error) = self.share(left, Some(until)).await {
                first.get_or_insert(error);
            }
        }
        if jobs > 0 {
            tracing::warn!(jobs, "what somebody left unshared was gone on with");
        }
        first.map_or(Ok(()), Err)
    }

    /// A round for each of them in turn, so that none waits for the rounds of all others. What fails, or is not
    /// done in time, is left to a sweep. Answers with the first fault.
    async fn share(&self, mut twins: Vec<i64>, until: Option<Instant>) -> std::result::Result<(), PortError> {
        let (mut first, mut faults) = (None, 0);
        while !twins.is_empty() {
            let mut unshared = Vec::new();
            for twin in twins {
                if faults == FAULTS || until.is_some_and(|until| Instant::now() >= until) {
                    return first.map_or(Ok(()), Err);
                }
                match self.share_round(twin).await {
                    Ok(more) => {
                        faults = 0;
                        unshared.extend(more.then_some(twin));
                    }
                    Err(fault) => {
                        faults += 1;
                        let is_connection_lost = fault.is_connection_lost();
                        let error = fault.in_words();
                        tracing::warn!(%error, job = twin, "those that share its end wait for a later sweep");
                        first.get_or_insert(error);
                        if is_connection_lost {
                            sleep(REST).await;
                        }
                    }
                }
            }
            twins = unshared;
        }
        first.map_or(Ok(()), Err)
    }

    /// Whether others may be left.
    async fn share_round(&self, twin: i64) -> Result<bool> {
        let done: Result<Round> = transact_repeatably!(self, connection => round(&mut connection, twin));
        let Round { more, news } = done?;
        if news {
            self.changes.raise(New::Moves);
        }
        Ok(more)
    }
}

/// Notes jobs that have ended and their keys.
pub(super) async fn owe(connection: &mut PgConnection, twins: &[(i64, Uuid)]) -> Result<()> {
    if !twins.is_empty() {
        sqlx::query("INSERT INTO unshared (twin, key) SELECT * FROM unnest($1::bigint[], $2::uuid[])")
            .bind(twins.iter().map(|(twin, _)| *twin).collect::<Vec<_>>())
            .bind(twins.iter().map(|(_, key)| *key).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Jobs that somebody has begun to share, and should be done with. Whoever finds them has them for a minute: several
/// sweeps take different ones, and one that fails is not found again at once.
const CLAIM_LEFT: &str = "
    UPDATE unshared SET at = now() WHERE twin = ANY(ARRAY(
      SELECT twin FROM unshared WHERE at < now() - interval '1 minute' ORDER BY at LIMIT $1
      FOR UPDATE SKIP LOCKED))
    RETURNING twin";

async fn claim_left(connection: &mut PgConnection) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(CLAIM_LEFT).bind(PORTION).fetch_all(connection).await?)
}

/// What a round did.
#[derive(Default)]
struct Round {
    /// Whether others may be left.
    more: bool,
    /// Whether a job became ready or a run finished.
    news: bool,
}

async fn round(connection: &mut PgConnection, twin: i64) -> Result<Round> {
    let Some(key) = hold(connection, twin).await? else { return Ok(Round::default()) };
    let mut counters = Counters::default();
    let mut round = match share_of(connection, twin).await? {
        Some(end) => give(connection, twin, key, &end, &mut counters).await?,
        None => pass_on(connection, twin, key, &mut counters).await?,
    };
    if !round.more {
        sqlx::query("DELETE FROM unshared WHERE twin = $1").bind(twin).execute(&mut *connection).await?;
    }
    round.news |= counters.apply(connection).await?.finished;
    Ok(round)
}

/// The key, unless all is shared or another is at it.
async fn hold(connection: &mut PgConnection, twin: i64) -> Result<Option<Uuid>> {
    let key = sqlx::query_scalar(
        "UPDATE unshared SET at = now()
         WHERE twin = (SELECT twin FROM unshared WHERE twin = $1 FOR UPDATE SKIP LOCKED) RETURNING key",
    );
    Ok(key.bind(twin).fetch_optional(connection).await?)
}

/// What those get that wait for a job which has ended. `None`: one of them takes its place.
async fn share_of(connection: &mut PgConnection, twin: i64) -> Result<Option<End<'static>>> {
    let row = sqlx::query("SELECT state, result, dead_reason, error FROM endings WHERE n = $1")
        .bind(twin)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let reason = row.try_get::<Option<i16>, _>(2)?.and_then(dead_reason);
    Ok(ended(row.try_get(0)?, row.try_get(1)?, reason, row.try_get(3)?).for_attached(twin))
}

/// The end as it was written.
fn ended(state: i16, result: Option<i64>, reason: Option<DeadReason>, error: Option<String>) -> End<'static> {
    match (state, result, reason) {
        (SUCCEEDED, Some(result), _) => match error {
            Some(why) => End::Lesser(result, why),
            None => End::Shared(result),
        },
        (DEAD, _, Some(reason)) => End::Dead(reason, error.unwrap_or_default()),
        _ => End::Cancelled,
    }
}

async fn give(
    connection: &mut PgConnection,
    twin: i64,
    key: Uuid,
    end: &End<'static>,
    counters: &mut Counters,
) -> Result<Round> {
    let Waiting { jobs, more } = attached_to_one(connection, twin).await?;
    end_attached(connection, all_with(jobs, key, end), counters).await?;
    Ok(Round { more, news: false })
}

async fn attached_to_one(connection: &mut PgConnection, twin: i64) -> Result<Waiting> {
    Ok(attached_to(connection, &[twin]).await?.remove(&twin).unwrap_or_default())
}

fn all_with<'a>(jobs: Vec<Attached>, key: Uuid, end: &End<'a>) -> Vec<Ending<'a>> {
    jobs.into_iter().map(|one| Ending { job: one.as_live(key), end: end.clone() }).collect()
}

/// They wait for the job that has taken the place, or get its result if it has one already. Where
/// nobody has the place, because who had it has ended too, the oldest takes it. Those that are too late die.
async fn pass_on(
    connection: &mut PgConnection,
    twin: i64,
    key: Uuid,
    counters: &mut Counters,
) -> Result<Round> {
    let place = hold_place(connection, key).await?;
    let Waiting { jobs, more } = attached_to_one(connection, twin).await?;
    if let Place::Result(result) = place {
        end_attached(connection, all_with(jobs, key, &End::Shared(result)), counters).await?;
        return Ok(Round { more, news: false });
    }
    let (late, in_time): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|one| one.late);
    let late = late.into_iter().map(|one| too_late(one.as_live(key))).collect();
    end_attached(connection, late, counters).await?;
    let mut change = KeyChange { key, live: None, waiting: true, result: None };
    let mut news = false;
    match place {
        _ if in_time.is_empty() => return Ok(Round { more, news }),
        Place::Live(n, run) => {
            change.live = Some((n, run));
            reattach(connection, &[Heir { n, run, others: in_time }]).await?;
        }
        _ => {
            let Some(heir) = Heir::oldest_of(in_time) else { return Ok(Round { more, news }) };
            (change.live, change.waiting) = heir.place();
            promote(connection, &[heir]).await?;
            news = true;
        }
    }
    store::keys(connection, &[change]).await?;
    Ok(Round { more, news })
}

/// Who has the place of a key.
enum Place {
    /// A live job and its run.
    Live(i64, i64),
    /// Nobody, and there is a fresh result.
    Result(i64),
    Free,
}

/// From then on nothing is attached to the live job, nor does it end, that is not seen by its own end.
async fn hold_place(connection: &mut PgConnection, key: Uuid) -> Result<Place> {
    let row = sqlx::query(
        "SELECT live, live_run, CASE WHEN fresh_until IS NULL OR fresh_until > now() THEN result END
         FROM dedup WHERE key = $1 FOR UPDATE",
    )
    .bind(key)
    .fetch_optional(connection)
    .await?;
    let missing = || Fault::Database(sqlx::Error::Decode("a key without a row".into()));
    let row = row.ok_or_else(missing)?;
    Ok(match (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?) {
        (_, _, Some(result)) => Place::Result(result),
        (Some(n), Some(run), None) => Place::Live(n, run),
        _ => Place::Free,
    })
}
