//! The ledger in Postgres, for a fleet: batches in a handful of statements, fenced finishes in
//! groups, several dispatchers and workers at once.
//!
//! `docs/postgres.md` tells the tables, the order of locks, and what happens when connections break.

mod admin;
mod backlog;
mod cancel;
mod changes;
mod codes;
mod counters;
mod detail;
mod dispatch;
mod due;
mod end;
mod examine;
mod expire;
mod fair;
mod fast;
mod fault;
mod few;
mod finish;
mod handed_out;
mod insert;
mod keys;
mod lanes;
mod live;
mod lone;
mod migrate;
mod numbers;
mod offers;
mod old;
mod options;
mod outbox;
mod pool;
mod put_back;
mod query;
mod reading;
mod recording;
mod redrive;
mod retry;
mod runs;
mod shares;
mod store;
mod submit;
mod sweep;
mod take;
mod tidy;
mod twins;
mod unread;
mod validity;
mod whole;
mod working;

pub use examine::examine;
pub use migrate::{migrate, newest as newest_schema, schema_version};
pub use options::PostgresOptions;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, watch};

use crate::domain::PortError;
use changes::Changes;
use dispatch::LastTurns;
use fault::{Fault, Result};
use offers::Offers;
use pool::{Held, Pool};
use tidy::Tidy;

/// A ledger in Postgres. Clones share their connections.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: Arc<Pool>,
    changes: Arc<Changes>,
    last_turns: Arc<LastTurns>,
    offers: Arc<Offers>,
    /// Kinds of whose last dispatch a part of the answer was lost: the next one says so.
    doubts: Arc<Mutex<BTreeSet<String>>>,
    tidy: Arc<Tidy>,
    /// The last run that a sweep tried to cancel; 0: it has tried all.
    cancelled_to: Arc<AtomicI64>,
    /// Each task that [shares](shares) holds a receiver.
    sharing: watch::Sender<()>,
    /// Set once the database was seen to have this version's schema.
    checked: Arc<OnceCell<()>>,
}

impl PostgresLedger {
    /// Opens the ledger, and checks that the database answers and has this version's schema. Does
    /// not migrate. Called within a Tokio runtime, on which it listens for changes.
    pub async fn open(options: &PostgresOptions) -> std::result::Result<Self, PortError> {
        let ledger = Self::open_lazily(options)?;
        ledger.acquire().await.map_err(Fault::in_words_at_opening)?.give_back();
        Ok(ledger)
    }

    /// Opens the ledger without asking the database: it may be down, and each call says so until
    /// it is back. The schema is checked by the first call that reaches it.
    pub fn open_lazily(options: &PostgresOptions) -> std::result::Result<Self, PortError> {
        let connect = options.connect_options().map_err(Fault::in_words)?;
        let pool = Arc::new(Pool::new(connect, options));
        let listen = options.listen.then(|| options.plain_options()).transpose().map_err(Fault::in_words)?;
        let changes = Arc::new(Changes::start(Arc::clone(&pool), listen));
        let tidy = Arc::new(Tidy::start(Arc::clone(&pool)));
        let sharing = watch::Sender::new(());
        Ok(Self {
            pool,
            changes,
            tidy,
            sharing,
            cancelled_to: Arc::default(),
            last_turns: Arc::default(),
            offers: Arc::default(),
            doubts: Arc::default(),
            checked: Arc::default(),
        })
    }

    async fn acquire(&self) -> Result<Held<'_>> {
        let mut connection = self.pool.acquire().await?;
        if !self.checked.initialized() {
            migrate::check(&mut connection).await?;
            // Another may have been quicker.
            let _ = self.checked.set(());
        }
        Ok(connection)
    }
}
