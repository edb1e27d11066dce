//! One connection to the broker, as those see it who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{Failed, Failure, answered, unavailable};
use super::options::RabbitOptions;
use super::supervisor::Supervisor;
use crate::domain::PortError;

/// How often the state of a connection or a channel is looked at: not every end comes with an event.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// A connection that is made anew whenever it breaks. Dropped, it closes.
pub(super) struct Link {
    state: watch::Receiver<State>,
    condemned: watch::Sender<u64>,
    broke: Arc<Notify>,
    unreadable: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    supervisor: AbortHandle,
    pub(super) patience: Duration,
}

/// Where a link stands.
#[derive(Clone)]
pub(super) enum State {
    Down { why: String },
    Up(Live),
    Closed,
}

/// A connection and its number; each one of a link has another.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Link {
    /// Starts to connect, and goes on until it is dropped.
    pub(super) fn start(options: &RabbitOptions, purpose: &str) -> Result<Self, PortError> {
        let (state, watched) = watch::channel(State::Down { why: "not connected yet".to_owned() });
        let (condemned, to_condemn) = watch::channel(0);
        let (broke, unreadable) = (Arc::<Notify>::default(), Arc::<AtomicBool>::default());
        let made = Arc::<AtomicU64>::default();
        let supervisor = Supervisor {
            uri: options.uri()?,
            name: format!("{} {purpose}", options.connection_name),
            place: options.url.to_string(),
            options: options.clone(),
            state,
            condemned: to_condemn,
            broke: Arc::clone(&broke),
            unreadable: Arc::clone(&unreadable),
            made: Arc::clone(&made),
        };
        let supervisor = tokio::spawn(supervisor.run()).abort_handle();
        let patience = options.connect_timeout;
        Ok(Self { state: watched, condemned, broke, unreadable, made, supervisor, patience })
    }

    /// How many connections it has made.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// The connection, as soon as there is one; an error at `deadline` if there is none by then.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Live, PortError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Down { .. }));
        let now = match timeout_at(deadline, settled).await {
            Ok(Ok(state)) => state.clone(),
            _ => self.state.borrow().clone(),
        };
        match now {
            State::Up(live) => Ok(live),
            State::Down { why } => Err(unavailable(why)),
            State::Closed => Err(unavailable("the connection was closed by this process")),
        }
    }

    /// A new channel; waits for the connection if need be, `patience` at most.
    pub(super) async fn channel(&self, doing: &str) -> Result<(Live, Channel), PortError> {
        let live = self.connection(Instant::now() + self.patience).await?;
        let channel = answered(self.patience, live.connection.create_channel()).await;
        let channel = channel.map_err(|failure| self.failed(&live, &failure, doing))?;
        Ok((live, channel))
    }

    /// What a failed request means. One without an answer condemns its connection, unless that is blocked: another one
    /// would be blocked as well.
    pub(super) fn failed(&self, live: &Live, failure: &Failure, doing: &str) -> PortError {
        if matches!(failure, Failure::Silent) {
            if live.connection.status().blocked() {
                return unavailable(self.trouble());
            }
            self.condemn(live);
        }
        failure.while_doing(doing)
    }

    /// The same of a request that says what it was for.
    pub(super) fn not_done(&self, live: &Live, Failed { failure, doing }: &Failed) -> PortError {
        self.failed(live, failure, doing)
    }

    /// This connection is not to be trusted any more: another one is made.
    pub(super) fn condemn(&self, live: &Live) {
        self.condemned.send_if_modified(|condemned| {
            let newer = live.number > *condemned;
            *condemned = live.number.max(*condemned);
            newer
        });
    }

    /// What keeps publishes from being confirmed, for people.
    pub(super) fn trouble(&self) -> String {
        match &*self.state.borrow() {
            State::Up(live) if live.connection.status().blocked() => {
                "the broker takes no messages: it has a memory or disk alarm; free memory or disk there"
                    .to_owned()
            }
            State::Up(_) => "the broker did not confirm in time".to_owned(),
            State::Down { why } => why.clone(),
            State::Closed => "the connection was closed by this process".to_owned(),
        }
    }

    /// Resolves when this connection is no longer the link's.
    pub(super) async fn is_over(&self, live: &Live) {
        let mut state = self.state.clone();
        let other = |state: &State| !matches!(state, State::Up(now) if now.number == live.number);
        let _ = state.wait_for(other).await;
    }

    /// A channel has ended, and nobody here closed it. Alone, or with its connection: of that one the supervisor tells.
    pub(super) fn lost_channel(&self, live: &Live) {
        if live.connection.status().connected() {
            tracing::warn!(
                "RabbitMQ closed a channel and delivers again what it had handed out there; it does so when one of \
                 these is held for longer than its consumer_timeout"
            );
            self.broke.notify_one();
        }
    }

    /// Resolves when a connection, or one of its channels alone, has broken since the last call. For one caller.
    pub(super) async fn broke(&self) {
        self.broke.notified().await;
    }

    /// Whether the last connection broke because it brought something that cannot be read.
    pub(super) fn met_the_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::SeqCst)
    }

    /// It is past.
    pub(super) fn reads_on(&self) {
        self.unreadable.store(false, Ordering::SeqCst);
    }

    /// Closes in good order; gives up after a while.
    pub(super) async fn close(&self) {
        let now = self.state.borrow().clone();
        self.supervisor.abort();
        if let State::Up(live) = now {
            close(&live.connection).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// Closes in good order; gives up on a peer that does not answer.
pub(super) async fn close(connection: &Connection) {
    let _ = timeout(Duration::from_secs(5), connection.close(200, "done".into())).await;
}
