//! Settings of the HTTP intake.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::ports::KeyLedger;

use crate::intake::JobLimits;

/// Who may call.
#[derive(Clone)]
pub enum Access {
    /// Who has an API key; its tenant and role decide.
    Keys(Arc<dyn KeyLedger>),
    /// Everybody may do everything, as this tenant. For development, on loopback only.
    Open(String),
}

/// Limits and times of the HTTP intake.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Limits of a request for jobs.
    pub jobs: JobLimits,
    /// Files that are taken at the same time: each has a thread, and most a copy on the disk. Where there are
    /// several tenants, one has half of the places at most.
    pub uploads: usize,
    /// Bytes of a file that must come in a second, on average from [`HttpOptions::body_timeout`] on.
    pub upload_rate: u64,
    /// Bytes of an uploaded file.
    pub upload_bytes: u64,
    /// A page of results or facts ends with the jobs that make it as long.
    pub page_bytes: usize,
    /// A request's head must have come within this time.
    pub header_timeout: Duration,
    /// A connection on which nothing is asked for this long is closed.
    pub idle_timeout: Duration,
    /// A JSON body must have come within this time; of a file, the next bytes.
    pub body_timeout: Duration,
    /// A client that takes nothing of its answer for this long is cut off.
    pub write_timeout: Duration,
    /// How long a key's standing is remembered: so long a revoked key may still work.
    pub key_cache: Duration,
    /// The longest time between two looks at a run that somebody watches.
    pub events_poll: Duration,
    /// The shortest time between two events of one run.
    pub events_spacing: Duration,
    /// Time between signs of life on a quiet event stream.
    pub heartbeat: Duration,
    /// How long answers may take to finish at the end.
    pub grace: Duration,
    /// How long it may then take to clear away the uploads that did not.
    pub clearing: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            jobs: JobLimits::default(),
            uploads: 64,
            upload_rate: 4 << 10,
            upload_bytes: 1 << 30,
            page_bytes: 16 << 20,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            key_cache: Duration::from_secs(5),
            events_poll: Duration::from_secs(1),
            events_spacing: Duration::from_millis(250),
            heartbeat: Duration::from_secs(15),
            grace: Duration::from_secs(25),
            clearing: Duration::from_secs(5),
        }
    }
}
