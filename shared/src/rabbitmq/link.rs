//! One connection to the broker, kept up. lapin's own recovery is not used: it covers reconnects
//! only, and with two channels it can stall for ever.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::types::LongString;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connect, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::{Failure, answered, reply_code, unavailable};
use super::options::RabbitOptions;
use crate::domain::PortError;

/// How often the connection's state is looked at, beside the events it sends.
const LOOK: Duration = Duration::from_millis(250);

/// A connection that lived this long was a good one: the next wait is short again.
const LIVED: Duration = Duration::from_secs(10);

/// A connection that is made anew whenever it breaks. Dropped, it closes.
pub(super) struct Link {
    state: watch::Receiver<State>,
    condemned: watch::Sender<u64>,
    supervisor: AbortHandle,
    pub(super) patience: Duration,
}

#[derive(Clone)]
enum State {
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
        let supervisor = Supervisor {
            uri: options.uri()?,
            name: format!("{} {purpose}", options.connection_name),
            place: options.url.to_string(),
            options: options.clone(),
            state,
            condemned: to_condemn,
        };
        let supervisor = tokio::spawn(supervisor.run()).abort_handle();
        Ok(Self { state: watched, condemned, supervisor, patience: options.connect_timeout })
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

    /// What a failed request means. One without an answer condemns its connection.
    pub(super) fn failed(&self, live: &Live, failure: &Failure, doing: &str) -> PortError {
        if matches!(failure, Failure::Silent) {
            self.condemn(live);
        }
        failure.while_doing(doing)
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

/// The task that keeps a link up.
struct Supervisor {
    uri: AMQPUri,
    name: String,
    place: String,
    options: RabbitOptions,
    state: watch::Sender<State>,
    condemned: watch::Receiver<u64>,
}

impl Supervisor {
    async fn run(mut self) {
        let _closed_in_the_end = CloseOnDrop(self.state.clone());
        let mut number = 0;
        let mut failures = 0;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    number += 1;
                    let since = Instant::now();
                    let why = self.hold(number, connection).await;
                    tracing::warn!(connection = self.name, why, "lost the connection to RabbitMQ");
                    self.state.send_replace(State::Down { why });
                    failures = if since.elapsed() < LIVED { failures + 1 } else { 1 };
                }
                Err(why) => {
                    tracing::warn!(connection = self.name, why, "no connection to RabbitMQ");
                    self.state.send_replace(State::Down { why });
                    failures += 1;
                }
            }
            sleep(self.options.reconnect.delay(failures, fastrand::f64())).await;
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let properties =
            ConnectionProperties::default().with_connection_name(LongString::from(self.name.as_str()));
        let connecting = self.uri.clone().connect(properties);
        match timeout(self.options.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(format!("{}: {error}; {}", self.place, advice(&error))),
            Err(_) => Err(format!(
                "{}: no connection within {:?}; is it the right address, and is RabbitMQ running?",
                self.place, self.options.connect_timeout
            )),
        }
    }

    /// Lends the connection out for as long as it lives. Says why it ended.
    async fn hold(&mut self, number: u64, connection: Connection) -> String {
        let live = Live { number, connection: Arc::new(connection) };
        let events = live.connection.events_listener();
        tracing::info!(connection = self.name, place = self.place, "connected to RabbitMQ");
        self.state.send_replace(State::Up(live.clone()));
        let why = tokio::select! {
            why = broken(&live, events) => why,
            Ok(_) = self.condemned.wait_for(|condemned| *condemned >= number) => {
                "the broker did not answer in time".to_owned()
            }
        };
        // It may hang on a dead peer: nobody waits for it.
        tokio::spawn(async move { close(&live.connection).await });
        format!("{}: {why}", self.place)
    }
}

/// Resolves with the reason once the connection is broken.
async fn broken(live: &Live, events: impl Stream<Item = Event>) -> String {
    let mut events = std::pin::pin!(events);
    let mut why = String::from("the connection ended");
    while live.connection.status().connected() {
        match timeout(LOOK, events.next()).await {
            Ok(Some(Event::Error(error))) => why = error.to_string(),
            Ok(Some(Event::ConnectionBlocked(reason))) => {
                tracing::warn!(reason, "RabbitMQ has a memory or disk alarm and takes no messages");
            }
            Ok(Some(Event::ConnectionUnblocked)) => tracing::info!("RabbitMQ takes messages again"),
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => break,
        }
    }
    why
}

async fn close(connection: &Connection) {
    let _ = timeout(Duration::from_secs(5), connection.close(200, "done".into())).await;
}

fn advice(error: &lapin::Error) -> &'static str {
    match reply_code(error) {
        Some(403) => "check user, password and the user's permissions on the virtual host",
        Some(530) => "check the virtual host in the URL, and the user's permissions on it",
        _ => "is RabbitMQ running there?",
    }
}

/// Whoever waits for a connection learns that none will come.
struct CloseOnDrop(watch::Sender<State>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(State::Closed);
    }
}
