//! What can go wrong inside the ledger, and the words for it.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::domain::{JobId, PortError, RunId};

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database refused.
    Database(rusqlite::Error),
    /// The request names a run that is not there.
    NoRun(RunId),
    /// The request names a job that is not there.
    NoJob(JobId),
    /// The request adds jobs to a run that has ended or was cancelled.
    RunClosed(RunId),
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Fault {
    /// What went wrong, where, and what to do.
    pub(super) fn in_words(&self, path: &Path) -> PortError {
        let path_name = path.display();
        let message = match self {
            Self::Database(error) => return in_words(error, path),
            Self::NoRun(run) => format!("there is no run {run} in {path_name}: list the runs to find its id"),
            Self::NoJob(job) => format!("there is no job {job} in {path_name}: list the jobs to find its id"),
            Self::RunClosed(run) => {
                format!(
                    "run {run} in {path_name} is finished or cancelled and takes no more jobs: open a new run"
                )
            }
        };
        PortError::Invalid { port: "ledger", message }
    }
}

/// Whether the error is about the one row that was written, and not about file, disk or memory.
pub(super) fn is_about_the_row(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        }
        None => true,
    }
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
        Some(ErrorCode::CannotOpen) => broken(
            "the database cannot be opened: check that it is a file, and its folder exists and may be written",
        ),
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
