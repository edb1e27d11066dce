//! The message that goes over a line: versioned, so that old and new workers can share one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::{DedupKey, Estimate, JobId, RunId};

/// The version this build writes and reads.
pub const ENVELOPE_VERSION: u32 = 1;

/// One job as it travels to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Version of this format.
    pub v: u32,
    /// The job.
    pub job_id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Whose it is.
    pub tenant: String,
    /// Name of its kind; the line is named after it.
    pub kind: String,
    /// Number of this dispatch; the ledger refuses what an older one reports.
    pub fence: u64,
    /// Counted attempts so far, this one not included.
    pub attempts: u16,
    /// Counted attempts before it is dead.
    pub max_attempts: u16,
    /// Time left to start it when it was dispatched, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Says which jobs ask for the same thing.
    pub dedup_key: DedupKey,
    /// The upstream whose quota the call takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What the call will probably use.
    #[serde(default)]
    pub estimate: Estimate,
    /// A message of this dispatch was published before: it may be on the line too, or at its call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The kind's args; `None`: too large to travel, the worker reads them from the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Box<RawValue>>,
}

/// Args above this stay in the ledger: brokers are made for short messages.
pub const LARGEST_ARGS: usize = 64 * 1024;

/// Why a message could not be read.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// Written by another version of Fleetline.
    #[error(
        "message has envelope version {found}; this worker reads version {ENVELOPE_VERSION}: \
         run the same Fleetline version in workers and producers"
    )]
    UnknownVersion {
        /// The version the message names.
        found: u32,
    },
    /// Not an envelope at all.
    #[error("message is no envelope: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Envelope {
    /// The message body. Args above [`LARGEST_ARGS`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        if self.args.as_ref().is_some_and(|args| args.get().len() > LARGEST_ARGS) {
            return Self { args: None, ..self.clone() }.encode();
        }
        serde_json::to_vec(self).expect("an envelope has only JSON-safe fields")
    }

    /// Reads a message body. A message of another version is told apart from a broken one.
    pub fn decode(body: &[u8]) -> Result<Self, EnvelopeError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        // Known to be text it is read faster, for then no field is looked at for that.
        let envelope = match str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        };
        // Of another version only this field is sure to be there.
        let found = match &envelope {
            Ok(Self { v, .. }) => *v,
            Err(_) => serde_json::from_slice::<Version>(body).map_or(ENVELOPE_VERSION, |Version { v }| v),
        };
        if found != ENVELOPE_VERSION {
            return Err(EnvelopeError::UnknownVersion { found });
        }
        Ok(envelope?)
    }

    /// Time left to start the job when it was dispatched.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            v: ENVELOPE_VERSION,
            job_id: JobId::new(),
            run_id: RunId::new(),
            tenant: "default".into(),
            kind: "node.extract".into(),
            fence: 3,
            attempts: 1,
            max_attempts: 5,
            deadline_ms: None,
            dedup_key: DedupKey::from_bytes([7; 32]),
            upstream: Some("openai".into()),
            estimate: Estimate { input_tokens: 10, output_tokens: 20 },
            again: true,
            args: RawValue::from_string(r#"{"a":1}"#.into()).ok(),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let sent = envelope();
        let read = Envelope::decode(&sent.encode()).unwrap();
        assert_eq!(sent.encode(), read.encode());
    }

    #[test]
    fn large_args_stay_behind() {
        let args = |bytes: usize| RawValue::from_string(format!("\"{}\"", "a".repeat(bytes - 2))).ok();
        let carried = |bytes| {
            let sent = Envelope { args: args(bytes), ..envelope() };
            Envelope::decode(&sent.encode()).unwrap().args.is_some()
        };
        assert!(carried(LARGEST_ARGS));
        assert!(!carried(LARGEST_ARGS + 1));
    }

    #[test]
    fn another_version_is_named_even_if_its_fields_differ() {
        let error = Envelope::decode(br#"{"v":2,"something":"new"}"#).unwrap_err();
        assert!(matches!(error, EnvelopeError::UnknownVersion { found: 2 }));
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn garbage_is_malformed() {
        for body in [&b""[..], b"hello", b"{}", br#"{"v":1}"#, b"{\"v\":\xff}"] {
            assert!(matches!(Envelope::decode(body), Err(EnvelopeError::Malformed(_))), "{body:?}");
        }
    }
}
