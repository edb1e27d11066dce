//! Who calls: tenant and role, from the API key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use fleetline_shared::ports::{ApiKey, KeyLedger, Role};

use super::keys::{hash, is_well_formed};
use super::problem::Problem;
use super::{App, Shared};

/// Keys remembered at most, unknown ones included.
const REMEMBERED: usize = 10_000;

/// Somebody who may look. Holds the tenant.
pub(super) struct Reader(pub(super) String);

/// Somebody who may submit and cancel. Holds the tenant.
pub(super) struct Submitter(pub(super) String);

/// Somebody who may see and do what concerns the whole fleet.
pub(super) struct Admin;

impl FromRequestParts<Shared> for Admin {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        app.tenant(&parts.headers, Role::Admin).await.map(|_| Self)
    }
}

impl FromRequestParts<Shared> for Reader {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        app.tenant(&parts.headers, Role::Read).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Submitter {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        app.tenant(&parts.headers, Role::Submit).await.map(Self)
    }
}

impl App {
    /// The tenant of whoever calls, if their role allows what they want.
    pub(super) async fn tenant(&self, headers: &HeaderMap, needed: Role) -> Result<String, Problem> {
        let keys = match &self.callers {
            Callers::All(tenant) if is_local(headers) => return Ok(tenant.clone()),
            Callers::All(_) => return Err(Problem::not_local()),
            Callers::WithKeys(keys) => keys,
        };
        let key = key_in(headers).ok_or_else(|| {
            Problem::unauthorized("send an API key: `Authorization: Bearer flk_...` or `X-Api-Key: flk_...`")
        })?;
        let known = if is_well_formed(key) { keys.find(hash(key)).await? } else { None };
        let known = known.ok_or_else(|| Problem::unauthorized("the API key is unknown or was revoked"))?;
        if known.role < needed {
            let role = known.role;
            return Err(Problem::forbidden(format!("the key has the role `{role}`; this needs `{needed}`")));
        }
        Ok(known.tenant)
    }
}

/// A page of any site may make a browser send requests to loopback addresses; then it says whose page it is. One
/// whose name was made to point here asks for that name.
fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let origin = text(ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, authority)| is_loopback(authority)));
    origin && text(HOST).is_none_or(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.parse::<Authority>().ok().map(|authority| authority.host().to_ascii_lowercase());
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback())
    })
}

fn key_in(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
}

/// Who may call.
pub(super) enum Callers {
    /// Everybody, as this tenant.
    All(String),
    /// Who has one of these.
    WithKeys(Keys),
}

/// The keys, with a short memory: most requests come with a key that was seen a moment ago.
pub(super) struct Keys {
    ledger: Arc<dyn KeyLedger>,
    memory: Duration,
    seen: Mutex<HashMap<[u8; 32], Seen>>,
}

/// What the ledger said of a key.
#[derive(Clone)]
struct Seen {
    at: Instant,
    /// `None`: there is no such key, or it was revoked.
    key: Option<ApiKey>,
}

impl Keys {
    pub(super) fn new(ledger: Arc<dyn KeyLedger>, memory: Duration) -> Self {
        Self { ledger, memory, seen: Mutex::default() }
    }

    async fn find(&self, hash: [u8; 32]) -> Result<Option<ApiKey>, Problem> {
        if let Some(known) = self.remembered(&hash) {
            return Ok(known.key);
        }
        let found = self.ledger.find_key(hash).await?;
        self.remember(hash, found.clone());
        Ok(found)
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(hash).filter(|seen| seen.at.elapsed() < self.memory).cloned()
    }

    fn remember(&self, hash: [u8; 32], key: Option<ApiKey>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.retain(|_, seen| seen.at.elapsed() < self.memory);
        }
        if seen.len() >= REMEMBERED {
            // Somebody tries many keys; whoever has a good one costs one more look.
            seen.clear();
        }
        seen.insert(hash, Seen { at: Instant::now(), key });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in_without_a_key() {
        let table = [
            (None, Some("127.0.0.1:8080"), true),
            (None, Some("localhost:8080"), true),
            (None, Some("[::1]:8080"), true),
            (None, None, true),
            (Some("http://localhost:3000"), Some("127.0.0.1:8080"), true),
            (Some("http://app.localhost"), Some("127.0.0.1:8080"), true),
            (Some("https://evil.example"), Some("127.0.0.1:8080"), false),
            (Some("https://localhost.evil.example"), Some("127.0.0.1:8080"), false),
            (Some("null"), Some("127.0.0.1:8080"), false),
            (None, Some("evil.example:8080"), false),
            (None, Some("127.0.0.1.evil.example"), false),
            (None, Some("192.168.0.7:8080"), false),
        ];
        for (origin, host, expected) in table {
            let named = [(ORIGIN, origin), (HOST, host)].into_iter();
            let given = named.filter_map(|(name, value)| Some((name, value?.parse().unwrap())));
            assert_eq!(is_local(&given.collect()), expected, "{origin:?} {host:?}");
        }
    }
}
