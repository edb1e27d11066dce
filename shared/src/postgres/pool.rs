//! The connections: a few, kept open, thrown away when anything is odd about them.
//!
//! Not the driver's own pool: that one asks the server at every return whether it is still there,
//! which costs as much as a small statement.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::fault::{Fault, Result};
use super::options::PostgresOptions;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Statement timeouts until a piece of work that got no answer counts as broken: its statements, in
/// turn, have had theirs by then, and the server would have ended them.
const SILENCE: u32 = 4;

pub(super) struct Pool {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
    acquire_timeout: Duration,
    patience: Duration,
}

impl Pool {
    /// A pool without connections: they are made when they are needed.
    pub(super) fn new(connect: PgConnectOptions, options: &PostgresOptions) -> Self {
        let unlimited = options.statement_timeout.is_zero();
        Self {
            options: connect,
            idle: Mutex::default(),
            permits: Semaphore::new(options.pool_size.max(1) as usize),
            acquire_timeout: options.acquire_timeout,
            patience: if unlimited { Duration::MAX } else { options.statement_timeout * SILENCE },
        }
    }

    /// How long a piece of work may be without an answer. A server or a path that went away without a
    /// word answers never; the system's own limits are a quarter of an hour and more.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A connection for one caller. The one that was used last comes first: its statements are warm.
    pub(super) async fn acquire(&self) -> Result<Held<'_>> {
        let permit = timeout(self.acquire_timeout, self.permits.acquire())
            .await
            .map_err(|_| Fault::NoConnection)?
            .expect("the semaphore is never closed");
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        Ok(Held { connection: Some(connection), pool: self, phase: Phase::Alone, _permit: permit })
    }

    /// After one connection broke, the others have probably broken too.
    pub(super) fn forget_idle(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new connection, unless the server says nothing.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let connected = timeout(CONNECT_TIMEOUT, options.connect()).await;
    connected
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
        .map_err(Into::into)
}

/// What a break would leave behind.
enum Phase {
    /// Statements commit by themselves: nobody knows.
    Alone,
    /// A transaction is open: nothing.
    Open,
    /// Its commit is under way: nobody knows.
    Committing,
}

/// A connection in use. Unless it is given back it is closed, which undoes its open transaction:
/// so also when the caller goes away in the middle of a statement.
pub(super) struct Held<'p> {
    connection: Option<PgConnection>,
    pool: &'p Pool,
    phase: Phase,
    _permit: SemaphorePermit<'p>,
}

impl Held<'_> {
    /// Back to the others. Only with nothing under way.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock().push(connection);
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<()> {
        sqlx::raw_sql("BEGIN").execute(&mut **self).await?;
        self.phase = Phase::Open;
        Ok(())
    }

    /// Commits. If the connection breaks now, nobody knows.
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.phase = Phase::Committing;
        sqlx::raw_sql("COMMIT").execute(&mut **self).await.map_err(super::fault::in_doubt)?;
        Ok(())
    }

    /// Undoes the open transaction. A connection on which that fails is closed.
    pub(super) async fn roll_back(mut self) {
        let patience = self.pool.patience;
        let undone = timeout(patience, sqlx::raw_sql("ROLLBACK").execute(&mut *self)).await;
        if undone.is_ok_and(|undone| undone.is_ok()) {
            self.give_back();
        }
    }

    /// There was no answer within [`Pool::patience`].
    pub(super) fn fell_silent(&self) -> Fault {
        match self.phase {
            Phase::Open => Fault::TookTooLong,
            Phase::Alone | Phase::Committing => {
                Fault::InDoubt(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Deref for Held<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("taken out only when it is given back")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken out only when it is given back")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The server would log a connection that just goes away.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            for connection in self.lock().drain(..) {
                runtime.spawn(connection.close());
            }
        }
    }
}
