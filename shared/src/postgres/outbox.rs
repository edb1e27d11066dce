//! Events that wait to be published.

use serde_json::Value;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::Result;
use super::numbers::limit;
use super::query::json;
use crate::ports::Event;

/// What another publisher takes at this moment is passed over.
pub(super) const TAKE_EVENTS: &str = "
    UPDATE outbox o SET claimed_until = now() + $2 * interval '1 ms'
    FROM (SELECT position FROM outbox WHERE claimed_until <= now()
          ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED) free
    WHERE o.position = ANY(ARRAY[free.position])
    RETURNING o.position, o.id, o.topic, o.tenant, floor(extract(epoch FROM o.at) * 1000)::bigint, o.body::text";

pub(super) async fn take(connection: &mut PgConnection, most: usize, claim_ms: i64) -> Result<Vec<Event>> {
    let mut rows = sqlx::query(TAKE_EVENTS).bind(limit(most)).bind(claim_ms).fetch_all(connection).await?;
    rows.sort_unstable_by_key(|row| row.get::<i64, _>(0));
    rows.iter()
        .map(|row| {
            Ok(Event {
                id: row.try_get(1)?,
                topic: row.try_get(2)?,
                tenant: row.try_get(3)?,
                at_ms: row.try_get(4)?,
                body: json::<Value>(row.try_get(5)?)?,
            })
        })
        .collect()
}

pub(super) async fn published(connection: &mut PgConnection, ids: &[Uuid]) -> Result<()> {
    sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(ids).execute(connection).await?;
    Ok(())
}
