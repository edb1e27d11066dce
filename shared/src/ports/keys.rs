//! API keys: who may call the HTTP intake, and for which tenant.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::PortError;

/// What a key may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at runs, jobs, results.
    Read,
    /// Also submit and cancel.
    Submit,
    /// Also what concerns other keys and the whole fleet.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    /// The name in the ledger, in flags and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("unknown role `{text}`; one of read, submit, admin"))
    }
}

/// A key to be made. The key itself is shown once and never stored.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its public number.
    pub id: Uuid,
    /// BLAKE3 of the key. A fast hash is right: keys are 256 random bits, not words of people.
    pub hash: [u8; 32],
    /// Whose work it may see and submit.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
    /// For people: which service uses it.
    pub label: String,
}

/// A key as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its public number.
    pub id: Uuid,
    /// Whose work it may see and submit.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
    /// For people: which service uses it.
    pub label: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// The same for its end, if it was revoked.
    pub revoked_at_ms: Option<i64>,
}

/// A ledger that keeps API keys.
#[async_trait]
pub trait KeyLedger: Send + Sync {
    /// Adds a key.
    async fn add_key(&self, key: NewApiKey) -> Result<(), PortError>;

    /// All keys, oldest first, revoked ones included.
    async fn keys(&self) -> Result<Vec<ApiKey>, PortError>;

    /// Ends a key. `false`: there is no such key, or it had ended before.
    async fn revoke_key(&self, id: Uuid) -> Result<bool, PortError>;

    /// The key with this hash, unless it was revoked.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<ApiKey>, PortError>;
}
