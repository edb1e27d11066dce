//! Opening the file: settings, schema, and errors in words.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::domain::PortError;

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
/// Marks the file as Fleetline's: "FLTL".
const APPLICATION_ID: i64 = 0x464c_544c;
/// Another process may hold the write lock for the length of one commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENT_CACHE: usize = 64;

/// Opens the file for writing, makes it if it is missing, and brings its schema up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection, PortError> {
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: a commit that was answered survives a power cut, not only a killed process.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "OFF")?;
        Ok(connection)
    };
    let mut connection = connect().map_err(|error| in_words(&error, path))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens the file for reading beside a writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, PortError> {
    if !path.exists() {
        return Err(PortError::Invalid {
            port: "ledger",
            message: format!("there is no database at {}: `fleetline run FILE` makes one", path.display()),
        });
    }
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        Ok(connection)
    };
    let connection = connect().map_err(|error| in_words(&error, path))?;
    check_version(&connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), PortError> {
    let is_empty = connection
        .query_row("SELECT count(*) = 0 FROM sqlite_master", [], |row| row.get::<_, bool>(0))
        .map_err(|error| in_words(&error, path))?;
    if !is_empty {
        return check_version(connection, path);
    }
    let create = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()
    };
    create(connection).map_err(|error| in_words(&error, path))
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
    if version != SCHEMA_VERSION {
        return invalid(format!(
            "{} has schema version {version}, this Fleetline reads {SCHEMA_VERSION}: use the version \
             that wrote it, or another --db",
            path.display()
        ));
    }
    Ok(())
}

/// What went wrong with the file, and what to do.
pub(super) fn in_words(error: &rusqlite::Error, path: &Path) -> PortError {
    let broken = |what: &str| PortError::Broken {
        port: "ledger",
        message: format!("{what} ({}): {error}", path.display()),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => broken(
            "the disk is full: free some space and run the same command again, nothing recorded is lost",
        ),
        Some(ErrorCode::ReadOnly) => {
            broken("the database cannot be written: check the rights of the file and its folder")
        }
        Some(ErrorCode::CannotOpen) => {
            broken("the database cannot be opened: check that the folder exists and may be written")
        }
        Some(ErrorCode::PermissionDenied) => broken("no permission to open the database"),
        Some(ErrorCode::NotADatabase) => broken("this is no SQLite file: give another path with --db"),
        Some(ErrorCode::DatabaseCorrupt) => {
            broken("the database is damaged: restore a copy, or give another path with --db")
        }
        Some(ErrorCode::SystemIoFailure) => broken("the disk gave an error"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => PortError::Unavailable {
            port: "ledger",
            message: format!("another process holds {}: try again", path.display()),
        },
        _ => broken("unexpected database error"),
    }
}

/// Milliseconds since 1970. The embedded ledger's clock is this machine's.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as the file's milliseconds.
pub(super) fn to_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
