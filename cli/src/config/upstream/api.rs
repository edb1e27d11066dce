//! How the API of an upstream is called: keys of `[upstreams.NAME]` for the kind `http.json`.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::config::text::{is_none, parsed};

/// Whose ways of telling about quota the answers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Vendor {
    Plain,
    OpenAi,
    Azure,
    Jira,
    Datadog,
    Ga4,
}

/// Where the value of a header is.
#[derive(Clone, Debug)]
pub enum HeaderSource {
    /// Here.
    Text(SecretString),
    /// In a variable of the environment.
    Env(String),
    /// In a file.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for HeaderSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = HeaderSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { env = \"VARIABLE\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HeaderSource, E> {
        Ok(HeaderSource::Text(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderSource, A::Error> {
        let wrong = || A::Error::custom(format_args!("expected {}", &self as &dyn fmt::Display));
        let (key, value): (String, String) = map.next_entry()?.ok_or_else(wrong)?;
        if map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        match key.as_str() {
            "env" => Ok(HeaderSource::Env(value)),
            "file" => Ok(HeaderSource::File(value.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for SourceVisitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Visitor::expecting(self, f)
    }
}

/// Errors never repeat it: it may hold a password.
pub(super) fn optional_base_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = parsed(from, "a text or \"none\"", |text| Some(text.to_owned()))?;
    if is_none(&text) {
        return Ok(None);
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_good = |rest: &str| !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']);
    match rest.filter(|rest| is_good(rest)) {
        Some(_) => Ok(Some(text.trim_end_matches('/').to_owned())),
        None => Err(D::Error::custom(
            "expected \"none\" or a URL that starts with http:// or https://, without user, query and fragment; \
             secrets belong to auth and headers",
        )),
    }
}

/// Errors never repeat it.
pub(super) fn optional_auth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let text = parsed(from, "a text or \"none\"", |text| Some(text.to_owned()))?;
    if is_none(&text) {
        Ok(None)
    } else if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(Some(text.into()))
    } else {
        Err(D::Error::custom("expected printable ASCII without line breaks, such as \"Bearer ...\""))
    }
}
