//! Where Redis is, and how long to wait for it.

use std::fmt;
use std::time::Duration;

use crate::tls::CaFile;

/// Where Redis is, and how long to wait for it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://`, or `rediss://` for TLS, with user and password if there are any. Never printed.
    pub url: String,
    /// Who may have signed the server's certificate, instead of the system's authorities.
    pub ca: Option<CaFile>,
    /// What all keys begin with. Fleets that share a server have different ones.
    pub prefix: String,
    /// The longest that a call takes, connecting included. It then fails as unavailable.
    pub response_timeout: Duration,
    /// The longest that one attempt to connect takes.
    pub connect_timeout: Duration,
    /// The longest pause between attempts to connect; the first ones are shorter.
    pub reconnect_delay: Duration,
}

impl RedisOptions {
    /// The usual options for a server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            prefix: "fleetline".into(),
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            reconnect_delay: Duration::from_millis(100),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &"(not shown)")
            .field("ca", &self.ca)
            .field("prefix", &self.prefix)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("reconnect_delay", &self.reconnect_delay)
            .finish()
    }
}
