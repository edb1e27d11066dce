//! Opening the file: settings and schema.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::in_words;
use crate::domain::PortError;

const SCHEMA: &str = include_str!("schema.sql");
/// From version 1 on.
const UPGRADES: [&str; 4] = [
    include_str!("upgrade_2.sql"),
    include_str!("upgrade_3.sql"),
    include_str!("upgrade_4.sql"),
    include_str!("upgrade_5.sql"),
];
const SCHEMA_VERSION: i64 = 5;
/// Marks the file as Fleetline's: "FLTL".
const APPLICATION_ID: i64 = 0x464c_544c;
/// Another process may hold the write lock for the length of one commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The writer's page cache: a group of large batches fits, so that no page is written twice for it.
const CACHE_KIB: i64 = 16 * 1024;
const STATEMENT_CACHE: usize = 64;

/// Opens the file for writing, and makes it if it is missing. A file that is not Fleetline's is
/// left as it is.
pub(super) fn open_writer(path: &Path) -> Result<Connection, PortError> {
    let words = |error| in_words(&error, path);
    let mut connection = Connection::open(path).map_err(words)?;
    configure(&connection).map_err(words)?;
    let is_new = is_empty(&connection).map_err(words)?;
    if !is_new {
        upgrade(&mut connection).map_err(words)?;
        check_version(&connection, path)?;
    }
    if is_new {
        // A file that a power cut leaves half made is empty: the next one makes it anew.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(words)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(words)?;
    if is_new {
        create_schema(&mut connection).map_err(words)?;
        check_version(&connection, path)?;
    }
    // FULL: a commit that was answered survives a power cut, not only a killed process.
    connection.pragma_update(None, "synchronous", "FULL").map_err(words)?;
    // This build's SQLite checks references by default. Each row here refers to one that the same
    // transaction has read or written, and none is ever deleted.
    connection.pragma_update(None, "foreign_keys", "OFF").map_err(words)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(words)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(())
}

/// Opens the file for reading beside a writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, PortError> {
    if !path.exists() {
        return Err(PortError::Invalid {
            port: "ledger",
            message: format!(
                "there is no database at {0}: `fleetline run FILE --db {0}` makes one",
                path.display()
            ),
        });
    }
    let words = |error| in_words(&error, path);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(words)?;
    configure(&connection).map_err(words)?;
    check_version(&connection, path)?;
    Ok(connection)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_master", [], |row| row.get(0))
}

/// Looks and creates under the write lock: another process may open the same new file.
fn create_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&transaction)? {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

/// Brings the file of an older version up to this one.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID && (1..SCHEMA_VERSION).contains(&version) {
        for (upgrade, from) in UPGRADES.iter().zip(1..) {
            if from >= version {
                transaction.execute_batch(upgrade)?;
            }
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), PortError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|error| in_words(&error, path))
    };
    let invalid = |message| Err(PortError::Invalid { port: "ledger", message });
    if pragma("application_id")? != APPLICATION_ID {
        return invalid(format!(
            "{} is an SQLite file, but not Fleetline's: give another path with --db",
            path.display()
        ));
    }
    let version = pragma("user_version")?;
    if version < SCHEMA_VERSION {
        return invalid(format!(
            "{} was written by an older Fleetline: a command that writes, such as `fleetline run`, brings it \
             up to date",
            path.display()
        ));
    }
    if version > SCHEMA_VERSION {
        return invalid(format!(
            "{} has schema version {version}, this Fleetline reads {SCHEMA_VERSION}: use the version \
             that wrote it, or another --db",
            path.display()
        ));
    }
    Ok(())
}
