//! Twins: jobs of one key, of which one is live and the others are attached to it.

use std::collections::HashMap;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use super::live::Live;
use crate::domain::Usage;

/// A job that waits for its twin.
pub(super) struct Attached {
    pub(super) n: i64,
    pub(super) run: i64,
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

/// In order of numbers: so two steps that hold attached jobs never wait for each other.
pub(super) const ATTACHED_TO: &str = "
    SELECT n, run, twin FROM queue WHERE state = 2 AND twin = ANY($1) ORDER BY n FOR UPDATE";

/// What is attached to each of the jobs, oldest first.
pub(super) async fn attached_to(
    connection: &mut PgConnection,
    jobs: Vec<i64>,
) -> Result<HashMap<i64, Vec<Attached>>> {
    let mut attached: HashMap<i64, Vec<Attached>> = HashMap::new();
    if jobs.is_empty() {
        return Ok(attached);
    }
    for row in sqlx::query(ATTACHED_TO).bind(jobs).fetch_all(connection).await? {
        let one = Attached { n: row.try_get(0)?, run: row.try_get(1)? };
        attached.entry(row.try_get(2)?).or_default().push(one);
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
