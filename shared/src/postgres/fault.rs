//! What can go wrong inside the ledger, and the words for it.

use sqlx::error::DatabaseError;

use crate::domain::{JobId, PortError, RunId};
use crate::tls::trouble;

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database refused, or cannot be reached. Nothing was written.
    Database(sqlx::Error),
    /// The connection broke while a commit was under way: it may have been made.
    InDoubt(sqlx::Error),
    /// There was no answer in the time of the whole piece of work. Nothing of it was written.
    TookTooLong,
    /// Another step has changed what this one had seen. Nothing was written; the next try sees it.
    Overtaken,
    /// No connection became free in time.
    NoConnection,
    /// The request names a run that is not there.
    NoRun(RunId),
    /// The request names a job that is not there.
    NoJob(JobId),
    /// The request adds jobs to a run that has ended or was cancelled.
    RunClosed(RunId),
    /// Something else about the request, or about what the database holds.
    Invalid(String),
    /// The database is not of this version.
    OtherVersion(String),
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// The answer of a statement that commits by itself: if the connection breaks, nobody knows.
pub(super) fn in_doubt(error: sqlx::Error) -> Fault {
    if is_connection_lost(&error) { Fault::InDoubt(error) } else { Fault::Database(error) }
}

impl Fault {
    fn code(&self) -> Option<String> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code().map(Into::into),
            _ => None,
        }
    }

    /// Whether it was undone because of what others did at the same time.
    pub(super) fn is_collision(&self) -> bool {
        matches!(self, Self::Overtaken) || matches!(self.code().as_deref(), Some("40P01" | "40001"))
    }

    /// Whether a row that was to be new was there already.
    pub(super) fn is_duplicate(&self) -> bool {
        self.code().as_deref() == Some("23505")
    }

    /// Whether the connection is gone.
    pub(super) fn is_connection_lost(&self) -> bool {
        match self {
            Self::Database(error) | Self::InDoubt(error) => is_connection_lost(error),
            // It is closed: nobody knows whether it would answer.
            Self::TookTooLong => true,
            _ => false,
        }
    }

    /// Whether the error is about the values of one row, and not about the database.
    pub(super) fn is_about_the_row(&self) -> bool {
        let about_values = |code: &str| ["22", "23", "54"].iter().any(|class| code.starts_with(class));
        match self {
            Self::Database(sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_)) => true,
            _ => self.code().is_some_and(|code| about_values(&code)),
        }
    }

    /// Whether people must mend the database or the URL, whatever is asked.
    fn is_about_the_setup(&self) -> bool {
        let about_setup =
            |code: &str| matches!(code, "28P01" | "28000" | "3D000" | "42501" | "42P01" | "42703");
        matches!(self, Self::OtherVersion(_)) || self.code().is_some_and(|code| about_setup(&code))
    }

    /// What went wrong, and what to do. A wrong setup is no fault of the request: it will do later.
    pub(super) fn in_words(self) -> PortError {
        let invalid = |message| PortError::Invalid { port: "ledger", message };
        match self {
            Self::Database(error) => of_database(&error),
            Self::InDoubt(_) => unavailable(
                "the connection to Postgres broke before it answered, and what was asked may be done: try again"
                    .into(),
            ),
            Self::TookTooLong => unavailable(
                "Postgres did not finish a step in four times the statement timeout, and nothing of this step is \
                 written: look at its load and at the way to it, and try again"
                    .into(),
            ),
            Self::Overtaken => {
                unavailable("others changed the same rows again and again: try again".into())
            }
            Self::NoConnection => unavailable(
                "all connections to Postgres are busy: try again, or raise the size of the pool".into(),
            ),
            Self::NoRun(run) => invalid(format!("there is no run {run}: list the runs to find its id")),
            Self::NoJob(job) => invalid(format!("there is no job {job}: list the jobs to find its id")),
            Self::RunClosed(run) => {
                invalid(format!("run {run} is finished or cancelled and takes no more jobs: open a new run"))
            }
            Self::Invalid(message) => invalid(message),
            Self::OtherVersion(message) => PortError::Broken { port: "ledger", message },
        }
    }

    /// The same for whoever opens the ledger, or looks at the database: a wrong setup is an error of
    /// theirs, which no waiting mends.
    pub(super) fn in_words_at_opening(self) -> PortError {
        let is_about_the_setup = self.is_about_the_setup();
        match self.in_words() {
            PortError::Broken { port, message } if is_about_the_setup => PortError::Invalid { port, message },
            error => error,
        }
    }
}

fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // The server ends the connection after these.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "25006"))
        }
        _ => false,
    }
}

/// The error, and what else there is to know.
pub(super) fn also(mut error: PortError, more: &str) -> PortError {
    let (PortError::Unavailable { message, .. }
    | PortError::Invalid { message, .. }
    | PortError::Broken { message, .. }) = &mut error;
    message.push_str("; ");
    message.push_str(more);
    error
}

fn unavailable(message: String) -> PortError {
    PortError::Unavailable { port: "ledger", message }
}

/// Errors of the driver never carry the URL.
fn of_database(error: &sqlx::Error) -> PortError {
    if let Some(why) = trouble(error, "`sslrootcert` of postgres.url") {
        return unavailable(format!("no connection to Postgres: {why}"));
    }
    match error {
        sqlx::Error::Database(error) => of_server(&**error),
        sqlx::Error::Io(error) => {
            unavailable(format!("Postgres does not answer ({error}): check that it runs and its address"))
        }
        sqlx::Error::Tls(error) => {
            unavailable(format!("no TLS connection to Postgres ({error}): check `sslmode` and certificates"))
        }
        error if is_connection_lost(error) => {
            unavailable(format!("the connection to Postgres broke ({error}): try again"))
        }
        error => PortError::Broken { port: "ledger", message: format!("unexpected: {error}") },
    }
}

fn of_server(error: &dyn DatabaseError) -> PortError {
    let message = error.message();
    let code = error.code().unwrap_or_default();
    let invalid =
        |words: &str| PortError::Invalid { port: "ledger", message: format!("{words} ({message})") };
    let broken = |words: &str| PortError::Broken { port: "ledger", message: format!("{words} ({message})") };
    match &*code {
        "57014" => {
            unavailable(format!("a statement took longer than the statement timeout: try again ({message})"))
        }
        "57P01" | "57P02" | "57P03" | "57P05" => {
            unavailable(format!("Postgres is starting or shutting down: try again ({message})"))
        }
        "25006" => unavailable(format!("this Postgres is a read-only replica: use the primary ({message})")),
        "40P01" | "40001" => {
            unavailable(format!("others changed the same rows again and again: try again ({message})"))
        }
        "53300" => unavailable(format!(
            "Postgres takes no more connections: lower the pools or raise max_connections ({message})"
        )),
        "53100" => broken("the disk of Postgres is full: free some space, nothing recorded is lost"),
        "28P01" | "28000" => broken("Postgres refuses the user or password: check the URL"),
        "3D000" => broken("this database does not exist: create it, or check the URL"),
        "42501" => broken("the user may not do this: grant it the rights on Fleetline's tables"),
        "42P01" | "42703" => {
            broken("the database has not the tables of this version: run `fleetline migrate`")
        }
        code if code.starts_with("08") => {
            unavailable(format!("the connection to Postgres broke: try again ({message})"))
        }
        code if code.starts_with("22") || code.starts_with("23") => {
            invalid("Postgres cannot hold this value")
        }
        _ => broken("unexpected error of Postgres"),
    }
}
