//! Whether a database is fit for the ledger.

use std::time::{Duration, SystemTime};

use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::time::timeout;

use super::fault::{Fault, Result};
use super::{PostgresOptions, migrate};
use crate::domain::{Finding, PortError};

/// The oldest version the statements are written for, as the server counts.
const OLDEST: i32 = 130_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's version, and what is not as it should be. Changes nothing.
pub async fn examine(options: &PostgresOptions) -> std::result::Result<(String, Vec<Finding>), PortError> {
    let examined = timeout(PATIENCE, look(options)).await;
    let silent = || PortError::Unavailable {
        port: "ledger",
        message: format!("Postgres did not answer within {PATIENCE:?}: check the network and its load"),
    };
    examined.map_err(|_| silent())?.map_err(Fault::in_words_at_opening)
}

async fn look(options: &PostgresOptions) -> Result<(String, Vec<Finding>)> {
    let mut connection = options.plain_options()?.connect().await?;
    let sent = now_ms();
    let row = sqlx::query(
        "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
           (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock,
           current_setting('max_connections')::int AS connections, pg_is_in_recovery() AS replica,
           current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off' AS durable,
           to_regclass('queue') IS NOT NULL AS migrated,
           coalesce(has_table_privilege(to_regclass('_sqlx_migrations'), 'SELECT'), true) AS tells_version",
    )
    .fetch_one(&mut connection)
    .await?;
    let mut findings = Vec::new();
    findings.extend(Finding::of_clocks("Postgres", row.try_get("clock")?, i64::midpoint(sent, now_ms())));
    if row.try_get::<i32, _>("number")? < OLDEST {
        findings.push(Finding::new("version", "it is older than 13", "use a newer Postgres"));
    }
    if row.try_get("replica")? {
        findings.push(Finding::new("server", "it is a read-only replica", "give the URL of the primary"));
    }
    if !row.try_get::<bool, _>("durable")? {
        findings.push(Finding::new(
            "durability",
            "fsync or synchronous_commit is off: accepted work can be lost",
            "set both to on",
        ));
    }
    if row.try_get::<i32, _>("connections")? < 2 * i32::try_from(options.pool_size).unwrap_or(i32::MAX) {
        findings.push(Finding::new(
            "max_connections",
            format!("it is below two processes with {} each", options.pool_size),
            "raise it, or lower postgres.connections",
        ));
    }
    if row.try_get("migrated")? {
        findings.extend(rights(&mut connection).await?);
        // Without that right it cannot be looked at, and that is a finding already.
        if row.try_get("tells_version")? {
            findings.extend(version(&mut connection).await?);
        }
    } else {
        findings.push(Finding::new("schema", "the tables are missing", "run `fleetline migrate`"));
    }
    connection.close().await?;
    Ok((row.try_get("version")?, findings))
}

/// No process works on a schema of another version.
async fn version(connection: &mut PgConnection) -> Result<Option<Finding>> {
    let version = migrate::version(connection).await?;
    Ok(migrate::difference(version).map(|it| Finding::new("schema", it.problem, it.remedy)))
}

/// What a process of the fleet reads and writes.
const TABLES: [&str; 13] = [
    "api_keys",
    "attempts",
    "dedup",
    "endings",
    "facts",
    "jobs",
    "lines",
    "outbox",
    "queue",
    "redriving",
    "runs",
    "turns",
    "unshared",
];

async fn rights(connection: &mut PgConnection) -> Result<Option<Finding>> {
    let lacking: Option<String> = sqlx::query_scalar(
        "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
         WHERE relkind = 'S' AND NOT has_sequence_privilege(oid, 'USAGE')
             AND oid IN (to_regclass('job_numbers'), to_regclass(pg_get_serial_sequence('runs', 'n')))
           OR oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) name)
             AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
               AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
           OR oid = to_regclass('_sqlx_migrations') AND NOT has_table_privilege(oid, 'SELECT')",
    )
    .bind(TABLES.as_slice())
    .fetch_one(connection)
    .await?;
    let remedy = "grant it SELECT, INSERT, UPDATE and DELETE on all of Fleetline's tables, SELECT on _sqlx_migrations \
                  and USAGE on its sequences";
    Ok(lacking
        .map(|names| Finding::new("permissions", format!("the user may not use all of {names}"), remedy)))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
