//! How to reach the broker, and how long to wait for it.

use std::fmt;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};

use crate::domain::PortError;
use crate::rules::Backoff;
use crate::tls::CaFile;

use super::error::invalid;

/// A URL that may hold a password. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The whole URL, password included: for the client alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<&str> for SecretUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // The query may hold secrets too.
        let rest = rest.split('?').next().unwrap_or_default();
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// Settings of a [`super::RabbitBroker`]. Start from [`RabbitOptions::new`].
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. The virtual host `/` is written `%2f`.
    pub url: SecretUrl,
    /// Who may have signed the broker's certificate, beside the system's authorities.
    pub ca: Option<CaFile>,
    /// Name of the connections on the management page: `worker/<pod>` or `producer/<pod>`.
    pub connection_name: String,
    /// This process; consumer tags are `<pod>.<kind>`.
    pub pod: String,
    /// Whole seconds after which a silent peer counts as gone (noticed within two of them). 10 s.
    pub heartbeat: Duration,
    /// Longest wait for a connection, and for the answer to one request that is no publish. 10 s.
    pub connect_timeout: Duration,
    /// Longest wait for the broker to confirm a publish, from the call on. 10 s.
    pub confirm_timeout: Duration,
    /// How many unconfirmed publishes one channel has at most. 1,000.
    pub window: usize,
    /// Wait between attempts to connect: full jitter up to 0.2 s first, doubling up to 5 s.
    pub reconnect: Backoff,
}

impl RabbitOptions {
    /// The defaults, for a process of this role (`worker`, `producer`) and name.
    pub fn new(url: impl Into<SecretUrl>, role: &str, pod: &str) -> Self {
        Self {
            url: url.into(),
            ca: None,
            connection_name: format!("{role}/{pod}"),
            pod: pod.to_owned(),
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(10),
            window: 1_000,
            reconnect: Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) },
        }
    }

    /// The URL in parts, with the heartbeat.
    pub(super) fn uri(&self) -> Result<AMQPUri, PortError> {
        // The parser's own message may quote the password.
        let mut uri: AMQPUri = self.url.expose().parse().map_err(|_: String| {
            invalid(format!("{} is no AMQP URL; write amqp://user:password@host:5672/vhost", self.url))
        })?;
        if self.ca.is_some() && uri.scheme == AMQPScheme::AMQP {
            return Err(invalid(format!(
                "a file of authorities is given for RabbitMQ, and {} is without TLS: write amqps://",
                self.url
            )));
        }
        let seconds = self.heartbeat.as_secs().clamp(1, u64::from(u16::MAX));
        uri.query.heartbeat = Some(u16::try_from(seconds).expect("it was clamped"));
        uri.query.connection_timeout =
            Some(u64::try_from(self.connect_timeout.as_millis()).unwrap_or(u64::MAX));
        Ok(uri)
    }

    /// Whom to trust.
    pub(super) fn tls(&self) -> OwnedTLSConfig {
        OwnedTLSConfig { identity: None, cert_chain: self.ca.as_ref().map(|ca| ca.pem().to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_holds_the_password() {
        let options = RabbitOptions::new("amqp://ann:s3cret@rabbit:5672/jobs?x=s3cret", "worker", "w-1");
        assert!(!format!("{options:?}").contains("s3cret"));
        assert_eq!(options.url.to_string(), "amqp://rabbit:5672/jobs");
        let wrong = RabbitOptions::new("http://ann:s3cret@rabbit/%zz", "worker", "w-1");
        let error = wrong.uri().unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().contains("amqp://user:password@"), "{error}");
    }
}
