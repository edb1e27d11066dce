//! What two events must share to be one job: logger, masked message, and what was thrown where.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use super::event::LogEvent;
use super::{mask, trace};

/// Part of the hash: a change of the rules that makes other templates changes it too.
const VERSION: &str = "fleetline log fingerprint v1";

static HASHER: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key(VERSION));

/// Says that two events are the same problem. 16 bytes, shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The fingerprint of these parts. A zero byte ends each: masked text has none.
    fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = HASHER.clone();
        for part in parts {
            // A hex id of digits alone looks like a number, so the two count as one.
            for (index, piece) in part.split(mask::NUMBER).enumerate() {
                hasher.update(if index > 0 { mask::ID.as_bytes() } else { b"" });
                hasher.update(piece.as_bytes());
            }
            hasher.update(&[0]);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = if hex { u128::from_str_radix(text, 16).ok() } else { None };
        let value = value.ok_or_else(|| format!("a fingerprint is 32 hex digits, not `{text}`"))?;
        Ok(Self(value.to_be_bytes()))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An event's fingerprint, and the masked text that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprinted {
    /// Hash of the logger, the template and the frames.
    pub fingerprint: Fingerprint,
    /// The masked message; if something was thrown, ` | ` and the masked exception.
    pub template: String,
}

/// Fingerprints an event.
///
/// The level is not part of it: the same message, once as a warning and once as an error, is one
/// problem. Line numbers and addresses in frames are not, so that a new build keeps old results.
pub fn fingerprint(event: &LogEvent) -> Fingerprinted {
    let mut template = mask::mask(&event.message);
    let thrown = event.stack.as_deref().map(trace::Thrown::read).unwrap_or_default();
    if let Some(exception) = thrown.exception {
        let exception = mask::mask(exception);
        if !template.contains(&exception) {
            template.push_str(if template.is_empty() { "" } else { " | " });
            template.push_str(&exception);
        }
    }
    let frames: Vec<String> = thrown.frames.iter().map(|frame| mask::mask(frame)).collect();
    let causes = thrown.causes.iter().copied();
    let stack = causes.chain(frames.iter().map(String::as_str));
    let parts = [event.logger.as_str(), template.as_str()].into_iter().chain(stack);
    Fingerprinted { fingerprint: Fingerprint::of(parts), template }
}
