//! How to reach the database.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::fault::{Fault, Result};

/// How to reach Postgres, and how much of it to use.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`. Holds the password: never shown.
    pub url: String,
    /// Connections at most, beside one that listens.
    pub pool_size: u32,
    /// The longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// The longest time one statement may take; the server ends it then. A piece of work that has no
    /// answer after four times as long counts as broken. Zero: no limits.
    pub statement_timeout: Duration,
    /// The name under which the server lists the connections.
    pub application_name: String,
    /// Whether to hear of other processes' changes at once. Without it their work is found by
    /// asking now and then.
    pub listen: bool,
}

impl PostgresOptions {
    /// The usual settings for this URL: 8 connections, 10 s for one to become free, 30 s for a
    /// statement, listening.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            application_name: "fleetline".into(),
            listen: true,
        }
    }

    /// For the connections that do the work. Each statement is made for its indexes, so the
    /// planner is held to them: statistics of a queue, empty now and full in a minute, mislead.
    pub(super) fn connect_options(&self) -> Result<PgConnectOptions> {
        Ok(self.plain_options()?.options([
            ("statement_timeout", self.statement_timeout.as_millis().to_string().as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            ("default_transaction_isolation", "read committed"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ]))
    }

    /// For migrations, which take their time.
    pub(super) fn plain_options(&self) -> Result<PgConnectOptions> {
        // The parser's own words may repeat parts of the URL.
        let options = PgConnectOptions::from_str(&self.url).map_err(|_| {
            Fault::Invalid(
                "the URL of Postgres cannot be read: it looks like postgres://user:password@host:5432/database"
                    .into(),
            )
        })?;
        // Routers forget connections that are quiet for minutes, and tell nobody.
        let options = options.options([("tcp_keepalives_idle", "60")]);
        Ok(options.application_name(&self.application_name))
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &"<redacted>")
            .field("pool_size", &self.pool_size)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("application_name", &self.application_name)
            .field("listen", &self.listen)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let options = PostgresOptions::new("postgres://me:hunter2@host:not-a-port/db");
        let error = options.connect_options().unwrap_err().in_words();
        for shown in [format!("{options:?}"), error.to_string()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
