//! Jobs: what is asked, for how much, and how far it got.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Source;

/// State of a job. The last three are terminal and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// May be dispatched once its `run_at` has come.
    Ready,
    /// Handed to its line; the fence says which hand-over counts.
    Dispatched,
    /// A duplicate that waits for its live twin's result.
    Attached,
    /// Has its result.
    Succeeded,
    /// Parked with its reason; can be redriven as a new attempt series.
    Dead,
    /// Withdrawn.
    Cancelled,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Dispatched, Self::Attached, Self::Succeeded, Self::Dead, Self::Cancelled];

    /// The name in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Dispatched => "dispatched",
            Self::Attached => "attached",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the state never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("unknown job state `{text}`; one of {}", names.join(", "))
        })
    }
}

/// Says that two jobs ask for the same thing. 32 bytes, shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey([u8; 32]);

impl DedupKey {
    /// The key of these bytes; [`crate::rules::dedup_key`] makes one from parts.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, as adapters store it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: the hash's own text is made character by character, and every job's key has two.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (byte, pair) in self.0.iter().zip(text.chunks_exact_mut(2)) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedupKey({self})")
    }
}

impl FromStr for DedupKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = blake3::Hash::from_hex(text);
        hash.map(|hash| Self(hash.into())).map_err(|_| format!("a dedup key is 64 hex digits, not `{text}`"))
    }
}

impl Serialize for DedupKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DedupKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a job's call is expected to use of its upstream's quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

impl Estimate {
    /// Input and output together.
    pub fn total(self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

/// What was really used: paid calls and their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Calls sent to the upstream, failed ones included.
    pub calls: u64,
    /// Tokens of the requests, as the upstream counted them.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// A job to be submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Number in its run, unique there: submitting the same number again changes nothing.
    /// `None` for follow-ups, which their parent's finish inserts exactly once.
    pub seq: Option<u64>,
    /// Name of the kind.
    pub kind: String,
    /// The kind's args as JSON.
    pub args: Box<RawValue>,
    /// Says which jobs ask for the same thing.
    pub dedup_key: DedupKey,
    /// Higher goes first within a run. 0 is usual.
    pub priority: i16,
    /// The upstream whose quota the call takes; `None` for work that calls nobody.
    pub upstream: Option<String>,
    /// What the call will probably use.
    pub estimate: Estimate,
    /// Where in the input it came from.
    pub source: Source,
    /// How many events of the input it stands for, at least 1.
    pub occurrences: u64,
    /// Counted attempts before it is dead.
    pub max_attempts: u16,
    /// How long after submission it may still start; then it is dead. `None`: no limit.
    pub deadline: Option<Duration>,
    /// How long its result may be reused; `None`: for ever.
    pub fresh_for: Option<Duration>,
}
