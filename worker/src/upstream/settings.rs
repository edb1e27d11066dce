//! Limits of the connections to an upstream, and how its answers are read.

use std::time::Duration;

use fleetline_shared::tls::CaFile;

use super::feedback::Vendor;

/// Timeouts and pool of a client, and whose answers it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// For making a connection, TLS included.
    pub connect_timeout: Duration,
    /// For silence: without a byte for so long, the call has failed. `None`: only `timeout` counts,
    /// as befits servers that think for long before they answer.
    pub read_timeout: Option<Duration>,
    /// For a whole call, from connecting to the last byte.
    pub timeout: Duration,
    /// Connections without a call that are kept open, per host.
    pub idle_connections: usize,
    /// How long each is kept.
    pub idle_timeout: Duration,
    /// Who may have signed its certificate, beside the system's authorities.
    pub ca: Option<CaFile>,
    /// Whose ways of telling about quota its answers follow.
    pub vendor: Vendor,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: None,
            timeout: Duration::from_secs(90),
            idle_connections: 100,
            idle_timeout: Duration::from_secs(90),
            ca: None,
            vendor: Vendor::Plain,
        }
    }
}
