//! News: jobs became ready, or a run finished. Raised here at once, told to other processes by
//! NOTIFY, heard from them by LISTEN.
//!
//! A NOTIFY holds a lock of the whole server until its transaction ends. So no transaction that does
//! work sends one; a task of its own does, after the commit, one for all that gathered, and its own
//! commit does not wait for the disk. What a crash loses in between only delays: everybody who waits
//! also asks now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use super::pool::Pool;
use crate::ports::{New, News};

const CHANNEL: &str = "fleetline_changes";
/// Between two announcements at least.
const PAUSE: Duration = Duration::from_millis(10);
const TELL: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
/// So long without news: listened anew.
const SILENCE: Duration = Duration::from_mins(5);
/// Between two attempts to listen.
const RECONNECT: Duration = Duration::from_secs(1);

/// All there can be, as bits.
const EVERYTHING: u8 = (1 << New::ALL.len()) - 1;

fn bit(new: New) -> u8 {
    1 << new as u8
}

/// Where they are raised.
#[derive(Clone)]
struct Raise(watch::Sender<News>);

impl Raise {
    fn all_of(&self, bits: u8) {
        self.0.send_modify(|news| {
            New::ALL.into_iter().filter(|new| bits & bit(*new) != 0).for_each(|new| news.add(new));
        });
    }
}

/// The news of one ledger.
pub(super) struct Changes {
    raise: Raise,
    announce: Arc<Announce>,
    tasks: Vec<JoinHandle<()>>,
}

/// What others are still to be told, as bits.
#[derive(Default)]
struct Announce {
    bits: AtomicU8,
    some: Notify,
}

impl Changes {
    /// Starts the tasks. `listen`: where to hear of others' news.
    pub(super) fn start(pool: Arc<Pool>, listen: Option<PgConnectOptions>) -> Self {
        let raise = Raise(watch::channel(News::default()).0);
        let announce = Arc::<Announce>::default();
        let own = Uuid::now_v7().to_string();
        let mut tasks = vec![tokio::spawn(tell_others(pool, Arc::clone(&announce), own.clone()))];
        tasks.extend(listen.map(|options| tokio::spawn(hear_others(options, raise.clone(), own))));
        Self { raise, announce, tasks }
    }

    /// After a commit that is news.
    pub(super) fn raise(&self, new: New) {
        self.raise.all_of(bit(new));
        self.announce.bits.fetch_or(bit(new), Ordering::Relaxed);
        self.announce.some.notify_one();
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<News> {
        self.raise.0.subscribe()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Says whose news they are, and which.
async fn tell_others(pool: Arc<Pool>, announce: Arc<Announce>, own: String) {
    loop {
        announce.some.notified().await;
        let bits = announce.bits.swap(0, Ordering::Relaxed);
        if let Ok(mut connection) = pool.acquire().await {
            let told =
                sqlx::query(TELL).bind(CHANNEL).bind(format!("{own} {bits}")).execute(&mut *connection);
            if timeout(pool.patience(), told).await.is_ok_and(|told| told.is_ok()) {
                connection.give_back();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_others(options: PgConnectOptions, raise: Raise, own: String) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    loop {
        if let Err(error) = listen(&pool, &raise, &own).await {
            tracing::debug!(%error, "not listening to Postgres now");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen(pool: &sqlx::PgPool, raise: &Raise, own: &str) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What happened before, or while the connection was broken, was not heard.
        raise.all_of(EVERYTHING);
        loop {
            // A server or a path that went away without a word brings no news, and no error.
            let Ok(heard) = timeout(SILENCE, listener.try_recv()).await else { return Ok(()) };
            match heard? {
                Some(heard) if heard.payload().starts_with(own) => {}
                Some(heard) => raise.all_of(bits_of(heard.payload())),
                None => break,
            }
        }
    }
}

/// Builds before this one do not say which.
fn bits_of(payload: &str) -> u8 {
    payload.split_once(' ').and_then(|(_, bits)| bits.parse().ok()).unwrap_or(EVERYTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_hear_what_is_new() {
        let raise = Raise(watch::channel(News::default()).0);
        let expected = |payload: &str, expected: &[New]| {
            let before = *raise.0.borrow();
            raise.all_of(bits_of(payload));
            let now = *raise.0.borrow();
            let heard: Vec<_> = New::ALL.into_iter().filter(|new| now.has(*new, &before)).collect();
            assert_eq!(heard, expected, "{payload}");
        };
        expected(&format!("someone {}", bit(New::End)), &[New::End]);
        expected(&format!("someone {}", bit(New::Jobs) | bit(New::Moves)), &[New::Jobs, New::Moves]);
        for of_another_build in ["someone", "someone else", "someone 1000"] {
            expected(of_another_build, &New::ALL);
        }
    }
}
