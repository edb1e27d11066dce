//! News: jobs became ready, or a run finished. Raised here at once, told to other processes by
//! NOTIFY, heard from them by LISTEN.
//!
//! A NOTIFY holds a lock of the whole server until its transaction ends. So no transaction that does
//! work sends one; a task of its own does, after the commit, one for all that gathered, and its own
//! commit does not wait for the disk. What a crash loses in between only delays: everybody who waits
//! also asks now and then.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use super::pool::Pool;

const CHANNEL: &str = "fleetline_changes";
/// Between two announcements at least.
const PAUSE: Duration = Duration::from_millis(10);
const TELL: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
/// So long without news: listened anew.
const SILENCE: Duration = Duration::from_mins(5);
/// Between two attempts to listen.
const RECONNECT: Duration = Duration::from_secs(1);

/// The news of one ledger.
pub(super) struct Changes {
    raise: watch::Sender<u64>,
    announce: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Changes {
    /// Starts the tasks. `listen`: where to hear of others' news.
    pub(super) fn start(pool: Arc<Pool>, listen: Option<PgConnectOptions>) -> Self {
        let raise = watch::channel(0).0;
        let announce = Arc::new(Notify::new());
        let own = Uuid::now_v7().to_string();
        let mut tasks = vec![tokio::spawn(tell_others(pool, Arc::clone(&announce), own.clone()))];
        tasks.extend(listen.map(|options| tokio::spawn(hear_others(options, raise.clone(), own))));
        Self { raise, announce, tasks }
    }

    /// After a commit that is news.
    pub(super) fn raise(&self) {
        self.raise.send_modify(|version| *version += 1);
        self.announce.notify_one();
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.raise.subscribe()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn tell_others(pool: Arc<Pool>, announce: Arc<Notify>, own: String) {
    loop {
        announce.notified().await;
        if let Ok(mut connection) = pool.acquire().await {
            let told = sqlx::query(TELL).bind(CHANNEL).bind(&own).execute(&mut *connection);
            if timeout(pool.patience(), told).await.is_ok_and(|told| told.is_ok()) {
                connection.give_back();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_others(options: PgConnectOptions, raise: watch::Sender<u64>, own: String) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    loop {
        if let Err(error) = listen(&pool, &raise, &own).await {
            tracing::debug!(%error, "not listening to Postgres now");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen(pool: &sqlx::PgPool, raise: &watch::Sender<u64>, own: &str) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What happened before, or while the connection was broken, was not heard.
        raise.send_modify(|version| *version += 1);
        loop {
            // A server or a path that went away without a word brings no news, and no error.
            let Ok(heard) = timeout(SILENCE, listener.try_recv()).await else { return Ok(()) };
            match heard? {
                Some(heard) if heard.payload() == own => {}
                Some(_) => raise.send_modify(|version| *version += 1),
                None => break,
            }
        }
    }
}
