//! What goes wrong, and when.

mod text;
mod timeline;

use std::fmt;
use std::time::Duration;

pub use self::text::parse_script;
pub(crate) use self::timeline::Timeline;

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, from the start of the simulator or from when it was set.
    pub from: Duration,
    /// When it ends; `None`: never.
    pub until: Option<Duration>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many of the calls it hits, from 0 to 1.
    pub probability: f64,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No answer that is one.
    Outage(Outage),
    /// 429 to everybody, whatever the limits say.
    Storm {
        /// The wait that is asked for; `None`: none is named.
        retry_after: Option<Duration>,
    },
    /// An answer with this status; the call used its quota.
    Error(u16),
    /// No answer until the caller gives up.
    Hang,
    /// The connection breaks in the middle of the answer.
    Reset,
    /// The answer comes byte by byte.
    Slow {
        /// Before each byte.
        pause: Duration,
    },
    /// A successful answer that is cut-off JSON.
    Malformed,
    /// A complete answer whose text ended at the limit of tokens.
    Truncated,
}

/// How an outage looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nobody listens; connections that exist are reset at their next call. What is refused is not in
    /// the ledger.
    Refuse,
    /// The call is heard, and the connection reset.
    Reset,
    /// This status.
    Status(u16),
}

impl FaultKind {
    /// Whether the call is lost before the limits see it.
    pub(crate) fn is_before_limits(&self) -> bool {
        matches!(self, Self::Outage(_) | Self::Storm { .. })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage(Outage::Refuse) => f.write_str("outage refuse"),
            Self::Outage(Outage::Reset) => f.write_str("outage reset"),
            Self::Outage(Outage::Status(status)) => write!(f, "outage {status}"),
            Self::Storm { retry_after: None } => f.write_str("storm"),
            Self::Storm { retry_after: Some(wait) } => {
                write!(f, "storm retry-after={}", text::duration(*wait))
            }
            Self::Error(status) => write!(f, "error {status}"),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::Slow { pause } => write!(f, "slow pause={}", text::duration(*pause)),
            Self::Malformed => f.write_str("malformed"),
            Self::Truncated => f.write_str("truncated"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.map(text::duration).unwrap_or_default();
        write!(f, "{}..{until} {}", text::duration(self.from), self.kind)?;
        if self.probability < 1.0 { write!(f, " p={}", self.probability) } else { Ok(()) }
    }
}
