//! The task that keeps a connection up. lapin's own recovery is not used: it covers reconnects only,
//! and with two channels it can stall for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::types::LongString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, DefaultConnectionBuilder, ErrorKind, Event};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::error::reply_code;
use super::link::{LOOK, Live, State, close};
use super::options::RabbitOptions;
use crate::tls::trouble;

/// A connection that lived this long was a good one: the next wait is short again.
const LIVED: Duration = Duration::from_secs(10);

/// The longest wait while the server is not there: asking again costs nobody anything, and work waits for it.
const NOBODY_LISTENS: Duration = Duration::from_secs(1);

/// Makes the connection, lends it out for as long as it lives, makes another.
pub(super) struct Supervisor {
    pub(super) uri: AMQPUri,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) options: RabbitOptions,
    pub(super) state: watch::Sender<State>,
    pub(super) condemned: watch::Receiver<u64>,
    /// Told of each connection that breaks.
    pub(super) broke: Arc<Notify>,
    /// Whether the last one broke because it brought something that cannot be read.
    pub(super) unreadable: Arc<AtomicBool>,
    /// How many connections there were.
    pub(super) made: Arc<AtomicU64>,
}

/// Why a connection ended.
struct End {
    why: String,
    unreadable: bool,
}

/// Why there is no connection.
struct NoConnection {
    why: String,
    /// Nobody was asked for anything.
    nobody_listens: bool,
}

fn is_refused(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::IOError(io) if io.kind() == std::io::ErrorKind::ConnectionRefused)
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let _closed_in_the_end = CloseOnDrop(self.state.clone());
        let (mut short_lived, mut failures) = (0, 0);
        loop {
            let wait = match self.connect().await {
                Ok(connection) => {
                    failures = 0;
                    let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
                    let since = Instant::now();
                    let End { why, unreadable } = self.hold(number, connection).await;
                    tracing::warn!(connection = self.name, why, "lost the connection to RabbitMQ");
                    self.unreadable.store(unreadable, Ordering::SeqCst);
                    self.state.send_replace(State::Down { why });
                    self.broke.notify_one();
                    // What cannot be read is no sign that the broker has too much to do, and the sooner it has
                    // reached its delivery limit the better.
                    short_lived = if unreadable || since.elapsed() >= LIVED { 1 } else { short_lived + 1 };
                    self.options.reconnect.delay(short_lived, fastrand::f64())
                }
                Err(NoConnection { why, nobody_listens }) => {
                    tracing::warn!(connection = self.name, why, "no connection to RabbitMQ");
                    self.state.send_replace(State::Down { why });
                    failures += 1;
                    let wait = self.options.reconnect.delay(failures, fastrand::f64());
                    if nobody_listens { wait.min(NOBODY_LISTENS.mul_f64(fastrand::f64())) } else { wait }
                }
            };
            sleep(wait).await;
        }
    }

    async fn connect(&self) -> Result<Connection, NoConnection> {
        let properties =
            ConnectionProperties::default().with_connection_name(LongString::from(self.name.as_str()));
        let connecting = async {
            let builder = DefaultConnectionBuilder::new()?.with_uri(self.uri.clone());
            builder.with_properties(properties).with_tls_config(self.options.tls()).connect().await
        };
        match timeout(self.options.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                let why = format!("{}: {}", self.place, self.why(&error));
                Err(NoConnection { why, nobody_listens: is_refused(&error) })
            }
            Err(_) => {
                let why = format!(
                    "{}: no connection within {:?}; is it the right address, and is RabbitMQ running?",
                    self.place, self.options.connect_timeout
                );
                Err(NoConnection { why, nobody_listens: false })
            }
        }
    }

    fn why(&self, error: &lapin::Error) -> String {
        trouble(error, "rabbitmq.ca_file").unwrap_or_else(|| format!("{error}; {}", self.advice(error)))
    }

    fn advice(&self, error: &lapin::Error) -> &'static str {
        match (reply_code(error), &self.uri.scheme) {
            (Some(403), _) => "check user, password and the user's permissions on the virtual host",
            (Some(530), _) => "check the virtual host in the URL, and the user's permissions on it",
            (_, AMQPScheme::AMQPS) => "is RabbitMQ running there, and is it the port for TLS?",
            // A port for TLS just hangs up.
            (_, AMQPScheme::AMQP) => "is RabbitMQ running there? If it wants TLS, write amqps://",
        }
    }

    /// Lends the connection out for as long as it lives. Says why it ended.
    async fn hold(&mut self, number: u64, connection: Connection) -> End {
        let live = Live { number, connection: Arc::new(connection) };
        let events = live.connection.events_listener();
        tracing::info!(connection = self.name, place = self.place, "connected to RabbitMQ");
        self.state.send_replace(State::Up(live.clone()));
        let End { why, unreadable } = tokio::select! {
            end = broken(&live, events) => end,
            Ok(_) = self.condemned.wait_for(|condemned| *condemned >= number) => {
                End { why: "the broker did not answer in time".to_owned(), unreadable: false }
            }
        };
        // It may hang on a dead peer: nobody waits for it.
        tokio::spawn(async move { close(&live.connection).await });
        End { why: format!("{}: {why}", self.place), unreadable }
    }
}

/// Resolves with the reason once the connection is broken.
async fn broken(live: &Live, events: impl Stream<Item = Event>) -> End {
    let mut events = std::pin::pin!(events);
    let mut end = End { why: "the connection ended".to_owned(), unreadable: false };
    while live.connection.status().connected() {
        match timeout(LOOK, events.next()).await {
            Ok(Some(Event::Error(error))) => {
                end.why = error.to_string();
                end.unreadable |= matches!(error.kind(), ErrorKind::ParsingError(_));
            }
            Ok(Some(Event::ConnectionBlocked(reason))) => {
                tracing::warn!(reason, "RabbitMQ has a memory or disk alarm and takes no messages");
            }
            Ok(Some(Event::ConnectionUnblocked)) => tracing::info!("RabbitMQ takes messages again"),
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => break,
        }
    }
    end
}

/// Whoever waits for a connection learns that none will come.
struct CloseOnDrop(watch::Sender<State>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(State::Closed);
    }
}
