//! What a request says beside its body.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use fleetline_shared::domain::{JobId, RunId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::problem::Problem;

/// Characters of an idempotency key.
const LONGEST_KEY: usize = 255;

/// The id in the path. What is no id is not there.
pub(super) struct Id<T>(pub(super) T);

/// Ids that stand in paths.
pub(super) trait PathId: FromStr {
    /// What it is the id of.
    const WHAT: &'static str;
}

impl PathId for RunId {
    const WHAT: &'static str = "run";
}

impl PathId for JobId {
    const WHAT: &'static str = "job";
}

impl<T: PathId> FromRequestParts<Shared> for Id<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let missing = || Problem::not_found(format!("there is no {} of this id; ids are UUIDs", T::WHAT));
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, app).await else {
            return Err(missing());
        };
        text.parse().map(Self).map_err(|_| missing())
    }
}

/// The query string. Names that it does not know are refused: a filter that is spelt wrong would
/// filter nothing, so `T` is all of them, with `deny_unknown_fields`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// No parameters: one that is given is refused, for it would change nothing, and `dry_run=true` would be paid for.
pub(super) struct NoParams;

/// None.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl FromRequestParts<Shared> for NoParams {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        Params::<Nothing>::from_request_parts(parts, app).await.map(|_| Self)
    }
}

/// The idempotency key, if there is one.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl FromRequestParts<Shared> for IdempotencyKey {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        idempotency_key(&parts.headers).map(Self)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim);
    match key {
        Some(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(format!(
            "the header `Idempotency-Key` has 1 to {LONGEST_KEY} printable ASCII characters"
        ))),
    }
}
