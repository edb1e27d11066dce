//! API keys.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::fault::{Fault, Result, in_doubt};
use crate::ports::{ApiKey, NewApiKey};

macro_rules! keys {
    ($condition:literal) => {
        concat!(
            "SELECT id, tenant, role, label, floor(extract(epoch FROM created_at) * 1000)::bigint AS created_at,
               floor(extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_at FROM api_keys ",
            $condition
        )
    };
}

pub(super) async fn add(connection: &mut PgConnection, key: &NewApiKey) -> Result<()> {
    sqlx::query(
        // A repeat after a broken connection finds its own.
        "INSERT INTO api_keys (id, hash, tenant, role, label) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(key.id)
    .bind(key.hash.as_slice())
    .bind(&key.tenant)
    .bind(key.role.as_str())
    .bind(&key.label)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query(keys!("ORDER BY created_at, id")).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn revoke(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    let revoked = sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL")
        .bind(id)
        .execute(connection)
        .await
        .map_err(in_doubt)?;
    Ok(revoked.rows_affected() > 0)
}

pub(super) async fn find(connection: &mut PgConnection, hash: &[u8; 32]) -> Result<Option<ApiKey>> {
    let row = sqlx::query(keys!("WHERE hash = $1 AND revoked_at IS NULL"))
        .bind(hash.as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &PgRow) -> Result<ApiKey> {
    let role: &str = row.try_get("role")?;
    Ok(ApiKey {
        id: row.try_get("id")?,
        tenant: row.try_get("tenant")?,
        role: role.parse().map_err(Fault::Invalid)?,
        label: row.try_get("label")?,
        created_at_ms: row.try_get("created_at")?,
        revoked_at_ms: row.try_get("revoked_at")?,
    })
}
