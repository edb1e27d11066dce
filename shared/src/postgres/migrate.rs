//! The schema: forward only, each migration once.

use std::cmp::Ordering;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};

use super::fault::{Fault, Result};
use super::options::PostgresOptions;
use super::pool::connect;
use crate::domain::PortError;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Brings the database up to this version, and answers its schema version. What is done already is
/// left; of several that migrate at the same time one works and the others wait for it.
pub async fn migrate(options: &PostgresOptions) -> std::result::Result<i64, PortError> {
    run(options).await.map_err(Fault::in_words_at_opening)
}

async fn run(options: &PostgresOptions) -> Result<i64> {
    let mut connection = connect(&options.plain_options()?).await?;
    // A newer Fleetline's database is left as it is.
    let before = version(&mut connection).await?;
    if before > newest() {
        refuse_other(before)?;
    }
    // `Migrator::run` makes a future that cannot be sent between threads.
    let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
    let _ = connection.close().await;
    migrated.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Fault::Database(error),
        other => {
            Fault::OtherVersion(format!("the database has not the migrations of this Fleetline ({other})"))
        }
    })?;
    Ok(newest())
}

/// The database's schema version; 0: it has never been migrated.
pub async fn schema_version(options: &PostgresOptions) -> std::result::Result<i64, PortError> {
    let read = async {
        let mut connection = connect(&options.plain_options()?).await?;
        let version = version(&mut connection).await;
        let _ = connection.close().await;
        version
    };
    read.await.map_err(Fault::in_words_at_opening)
}

/// The schema version that this Fleetline works with.
pub fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Says what to do if the database is of another version.
pub(super) async fn check(connection: &mut PgConnection) -> Result<()> {
    refuse_other(version(connection).await?)
}

fn refuse_other(version: i64) -> Result<()> {
    let refused = |it: Difference| Fault::OtherVersion(format!("the database {}: {}", it.problem, it.remedy));
    difference(version).map_or(Ok(()), |difference| Err(refused(difference)))
}

/// How a database's version differs from this one's, and what to do about it.
pub(super) struct Difference {
    pub(super) problem: String,
    pub(super) remedy: &'static str,
}

/// `None`: it is of this version.
pub(super) fn difference(version: i64) -> Option<Difference> {
    let newest = newest();
    match version.cmp(&newest) {
        Ordering::Equal => None,
        Ordering::Less => Some(Difference {
            problem: format!("has schema version {version}, this Fleetline needs {newest}"),
            remedy: "run `fleetline migrate`",
        }),
        Ordering::Greater => Some(Difference {
            problem: format!(
                "has schema version {version}, this Fleetline ({}) knows {newest}",
                env!("CARGO_PKG_VERSION")
            ),
            remedy: "use the version that migrated it, or a newer one",
        }),
    }
}

pub(super) async fn version(connection: &mut PgConnection) -> Result<i64> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(0);
    }
    Ok(sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?)
}
