//! One connection of a process to Redis, shared by all its adapters: made when it is first needed,
//! and made again when it is lost or silent.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, TlsCertificates, Value};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::RedisOptions;
use crate::domain::PortError;
use crate::tls::trouble;

/// The connection. Clones share it.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    options: RedisOptions,
    /// Whoever connects holds it, so that one attempt is made at a time.
    line: tokio::sync::Mutex<Line>,
    /// Why the last attempt to connect failed.
    trouble: Mutex<Option<String>>,
}

#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    /// Number of the connection, so that only the broken one is dropped.
    number: u64,
    /// Attempts that failed since the last connection.
    failures: u32,
    next_attempt: Option<Instant>,
}

/// The pause after the first failed attempt to connect; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(20);

impl Redis {
    /// Checks the options. The connection is made by the first call: a server that is down fails
    /// that one, not the start.
    pub fn new(options: RedisOptions) -> Result<Self, PortError> {
        let invalid = |message: String| PortError::Invalid { port: "redis", message };
        if !is_prefix(&options.prefix) {
            return Err(invalid("the key prefix must not contain braces: Redis Cluster reads them".into()));
        }
        if is_tls(&options.url) {
            // Whoever comes first installs it; the others find it there.
            let _ = rustls::crypto::ring::default_provider().install_default();
        } else if options.ca.is_some() {
            let message =
                "a file of authorities is given for Redis, and its URL is without TLS: write rediss://";
            return Err(invalid(message.into()));
        }
        let client = client(&options).map_err(|error| {
            // The library's text may quote the URL, and with it the password.
            invalid(format!(
                "the URL of Redis cannot be read ({}); it looks like redis://user:password@host:6379/0",
                error.category()
            ))
        })?;
        Ok(Self(Arc::new(Inner {
            client,
            options,
            line: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
        })))
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.0.options.prefix
    }

    /// The longest that a call takes.
    pub(super) fn response_timeout(&self) -> Duration {
        self.0.options.response_timeout
    }

    /// Answers to the commands, in their order, in one round trip. An answer may be an error of
    /// the server's. Commands whose connection broke are sent once more: they may run twice.
    pub(super) async fn run(&self, port: &'static str, commands: &Pipeline) -> Result<Vec<Value>, PortError> {
        let deadline = Instant::now() + self.0.options.response_timeout;
        let answers = match self.once(deadline, commands).await {
            Err(Failed::Dropped(_)) => self.once(deadline, commands).await,
            answered => answered,
        };
        answers.map_err(|failed| self.in_words(port, &failed))
    }

    /// Why there is no connection, if the last attempt to make one failed.
    pub(super) fn trouble(&self, port: &'static str) -> Option<PortError> {
        let failed = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        failed.then(|| self.in_words(port, &Failed::NotConnected))
    }

    /// A connection that hears what is published on the channels of a pattern; none if that failed.
    pub(super) async fn listen(&self, pattern: &str) -> Option<(PubSubSink, PubSubStream)> {
        let subscribed = async {
            let (mut sink, stream) = self.0.client.get_async_pubsub().await?.split();
            sink.psubscribe(pattern).await?;
            Ok::<_, RedisError>((sink, stream))
        };
        match timeout(self.0.options.connect_timeout, subscribed).await {
            Ok(Ok(subscribed)) => Some(subscribed),
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot listen to Redis: pauses are heard of at the next call only");
                None
            }
            Err(_) => None,
        }
    }

    async fn once(&self, deadline: Instant, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
        let (number, mut connection) =
            timeout_at(deadline, self.connected()).await.map_err(|_| Failed::NotConnected)?;
        let answers = connection.send_packed_commands(commands, 0, commands.len());
        let failed = match timeout_at(deadline, answers).await {
            Ok(Ok(answers)) if answers.iter().any(is_elsewhere) => return Err(Failed::Cluster),
            Ok(Ok(answers)) if answers.iter().any(is_replica) => Failed::Replica,
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => Failed::Dropped(error),
            Err(_) => Failed::Silent,
        };
        // A silent connection may be one that a firewall swallowed: it would stay silent.
        self.drop_line(number).await;
        Err(failed)
    }

    /// A live connection, sooner or later: the caller sets the time limit.
    async fn connected(&self) -> (u64, MultiplexedConnection) {
        loop {
            let mut line = self.0.line.lock().await;
            if let Some(connection) = &line.connection {
                return (line.number, connection.clone());
            }
            if let Some(next) = line.next_attempt {
                sleep_until(next).await;
            }
            self.connect(&mut line).await;
        }
    }

    async fn connect(&self, line: &mut Line) {
        let options = &self.0.options;
        let delay = FIRST_DELAY.saturating_mul(1 << line.failures.min(10)).min(options.reconnect_delay);
        // Set before the attempt: a caller that gives up in the middle of it leaves this behind.
        line.next_attempt = Some(Instant::now() + delay.mul_f64(0.5 + fastrand::f64() / 2.0));
        line.failures += 1;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(None);
        match self.0.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                let number = line.number + 1;
                *line = Line { connection: Some(connection), number, failures: 0, next_attempt: None };
                self.set_trouble(None);
            }
            Err(error) => self.set_trouble(Some(self.why(&error))),
        }
    }

    async fn drop_line(&self, number: u64) {
        let mut line = self.0.line.lock().await;
        if line.number == number {
            line.connection = None;
        }
    }

    /// Why no connection was made, and what to do.
    fn why(&self, error: &RedisError) -> String {
        trouble(error, "redis.ca_file").unwrap_or_else(|| format!("{error}; {}", self.advice()))
    }

    /// A port for TLS just hangs up on whoever speaks without, and one without just waits.
    fn advice(&self) -> &'static str {
        if is_tls(&self.0.options.url) {
            "check its URL, that it runs, and that it speaks TLS on this port"
        } else {
            "check its URL, that it runs, and that it does not want TLS (rediss://)"
        }
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn in_words(&self, port: &'static str, failed: &Failed) -> PortError {
        let address = self.0.client.get_connection_info().addr();
        let limit = self.0.options.response_timeout;
        let message = match failed {
            Failed::Cluster => {
                let message = format!(
                    "Redis at {address} is a node of a cluster, and keys are on other nodes: use a server without \
                     cluster mode, or a proxy in front of the cluster"
                );
                return PortError::Broken { port, message };
            }
            Failed::NotConnected => {
                let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let why =
                    trouble.unwrap_or_else(|| format!("no connection within {limit:?}; {}", self.advice()));
                format!("Redis at {address} cannot be reached: {why}")
            }
            Failed::Silent => format!("Redis at {address} did not answer within {limit:?}; check its load"),
            Failed::Dropped(error) => format!("the connection to Redis at {address} broke ({error})"),
            Failed::Replica => format!("Redis at {address} is a replica; the URL must lead to the primary"),
        };
        PortError::Unavailable { port, message }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.0.options).finish()
    }
}

/// Whether keys may begin so: what stands in braces would choose their place in a cluster.
pub fn is_prefix(text: &str) -> bool {
    !text.contains(['{', '}'])
}

fn is_tls(url: &str) -> bool {
    url.starts_with("rediss:")
}

fn client(options: &RedisOptions) -> redis::RedisResult<Client> {
    let Some(ca) = &options.ca else { return Client::open(options.url.as_str()) };
    let root_cert = Some(ca.pem().as_bytes().to_vec());
    Client::build_with_tls(options.url.as_str(), TlsCertificates { client_tls: None, root_cert })
}

/// Why there are no answers.
enum Failed {
    NotConnected,
    Silent,
    Dropped(RedisError),
    /// The server was primary when the connection was made, or never.
    Replica,
    /// The keys are on another node, to which this client does not go.
    Cluster,
}

fn is_elsewhere(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if matches!(error.code(), "MOVED" | "ASK"))
}

fn is_replica(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "READONLY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_holds_no_password() {
        let options = RedisOptions::new("redis://user:hunter2@127.0.0.1:1/0");
        let redis = Redis::new(options.clone()).unwrap();
        let refused = Redis::new(RedisOptions::new("redis://user:hunter2@127.0.0.1:hunter2/0")).unwrap_err();
        let other = Redis::new(RedisOptions::new("http://user:hunter2@127.0.0.1/0")).unwrap_err();
        for text in [format!("{options:?} {redis:?}"), refused.to_string(), other.to_string()] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        let lost = redis.in_words("leases", &Failed::NotConnected).to_string();
        assert!(lost.contains("127.0.0.1:1") && !lost.contains("hunter2"), "{lost}");
    }

    #[test]
    fn a_prefix_does_not_choose_the_slot() {
        let braces = RedisOptions { prefix: "a{b}".into(), ..RedisOptions::new("redis://127.0.0.1/") };
        assert!(Redis::new(braces).unwrap_err().to_string().contains("braces"));
    }
}
