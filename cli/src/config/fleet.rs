//! `[postgres]`, `[rabbitmq]`, `[redis]`, `[serve]`: the fleet's servers and its front door.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{numbers, text};

/// `[postgres]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Where the ledger is; may hold a password.
    #[serde(deserialize_with = "text::optional_secret")]
    pub url: Option<SecretString>,
    /// Connections of one process, at most.
    #[serde(deserialize_with = "numbers::whole::<_, 2, 1_000, _>")]
    pub connections: u32,
    /// Longest wait for one of them.
    #[serde(deserialize_with = "text::duration")]
    pub acquire_timeout: Duration,
    /// Longest statement.
    #[serde(deserialize_with = "text::duration")]
    pub statement_timeout: Duration,
    /// How long commands that follow a run wait for a server that is away.
    #[serde(deserialize_with = "text::duration")]
    pub patience: Duration,
}

/// `[rabbitmq]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitMq {
    /// Where the broker is; may hold a password.
    #[serde(deserialize_with = "text::optional_secret")]
    pub url: Option<SecretString>,
    /// Its management API, which policies need.
    #[serde(deserialize_with = "text::optional_secret")]
    pub management_url: Option<SecretString>,
    /// Authorities of the certificates of both, beside the system's.
    #[serde(deserialize_with = "text::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// A connection that is silent for twice this is dead.
    #[serde(deserialize_with = "text::duration")]
    pub heartbeat: Duration,
    /// Longest wait for a connection.
    #[serde(deserialize_with = "text::duration")]
    pub connect_timeout: Duration,
    /// Longest wait for the confirm of a published message.
    #[serde(deserialize_with = "text::duration")]
    pub confirm_timeout: Duration,
    /// Deliveries of a message that kills its workers.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 10_000, _>")]
    pub delivery_limit: u32,
    /// Messages on one line, at most.
    #[serde(deserialize_with = "numbers::whole::<_, 1_000, 100_000_000, _>")]
    pub max_length: u64,
}

/// `[redis]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is; may hold a password.
    #[serde(deserialize_with = "text::optional_secret")]
    pub url: Option<SecretString>,
    /// Authorities of its certificate, instead of the system's.
    #[serde(deserialize_with = "text::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// Begins all keys.
    #[serde(deserialize_with = "text::prefix")]
    pub prefix: String,
    /// Longest wait for an answer.
    #[serde(deserialize_with = "text::duration")]
    pub timeout: Duration,
}

/// `[serve]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Address of the HTTP intake.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Whether anybody may use it, without a key.
    pub open: bool,
    /// Largest file, in MiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub max_body_mb: u64,
    /// Length of a page of results or facts, in MiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000, _>")]
    pub max_page_mb: usize,
    /// Largest request or message that is not a file, in MiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000, _>")]
    pub max_request_mb: usize,
    /// Jobs of one request.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub max_jobs: usize,
    /// Args of one job, in KiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub max_args_kb: usize,
    /// Levels of JSON inside each other.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000, _>")]
    pub max_depth: usize,
    /// Longest silence of a client that sends.
    #[serde(deserialize_with = "text::duration")]
    pub read_timeout: Duration,
    /// Longest time for which a client takes nothing of its answer.
    #[serde(deserialize_with = "text::duration")]
    pub write_timeout: Duration,
    /// Files that HTTP takes at the same time.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 256, _>")]
    pub max_uploads: usize,
    /// Least speed of a file, in KiB a second.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub min_upload_kb: u64,
    /// Messages taken from the AMQP intake at once.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 10_000, _>")]
    pub intake_prefetch: usize,
}
