//! Where each value came from: `fleetline config print`.

use std::borrow::Cow;
use std::fmt;

use figment::Figment;
use figment::value::{Dict, Value};
use serde::Serialize;

use super::schema::join;
use super::text::is_none;

/// Keys whose values are never shown.
const SECRETS: [&str; 5] =
    ["openai.api_key", "postgres.url", "rabbitmq.url", "rabbitmq.management_url", "redis.url"];

/// All values and their origins, sorted by key.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Origins(Vec<Origin>);

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// `worker.concurrency`
    pub key: String,
    /// As TOML; a secret is `"***"`.
    pub value: String,
    /// `default`, a file's path, `env NAME` or `flag --name`.
    pub from: String,
}

impl Origins {
    pub(super) fn of(figment: &Figment, dict: &Dict) -> Self {
        let mut origins = Vec::new();
        walk(figment, dict, "", &mut origins);
        Self(origins)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    /// One key's.
    pub fn get(&self, key: &str) -> Option<&Origin> {
        self.0.iter().find(|origin| origin.key == key)
    }
}

/// Values before sections, as TOML needs them.
fn walk(figment: &Figment, dict: &Dict, above: &str, origins: &mut Vec<Origin>) {
    let is_section = |value: &Value| matches!(value, Value::Dict(..));
    for (name, value) in dict.iter().filter(|(_, value)| !is_section(value)) {
        let key = join(above, &as_key(name));
        let from =
            figment.get_metadata(value.tag()).map_or_else(String::new, |metadata| metadata.name.to_string());
        let is_there = !value.as_str().is_some_and(|text| is_none(text.trim()));
        let is_secret = is_there && is_secret(&key);
        let value = if is_secret { "\"***\"".to_owned() } else { as_toml(value) };
        origins.push(Origin { key, value, from });
    }
    for (name, value) in dict {
        if let Value::Dict(_, section) = value {
            walk(figment, section, &join(above, &as_key(name)), origins);
        }
    }
}

fn is_secret(key: &str) -> bool {
    let (section, name) = parent(key);
    let of_upstream = name == "auth" || parent(section).1 == "headers";
    SECRETS.contains(&key) || (key.starts_with("upstreams.") && of_upstream)
}

/// A name as TOML spells it: with dots, such as those of models, in quotes.
fn as_key(name: &str) -> Cow<'_, str> {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(as_toml(&Value::from(name)))
    }
}

/// The section of a key, and its name there.
fn parent(key: &str) -> (&str, &str) {
    let quoted = key.strip_suffix('"').and_then(|rest| rest.rfind(".\""));
    let dot = quoted.or_else(|| key.rfind('.'));
    dot.map_or(("", key), |dot| (&key[..dot], &key[dot + 1..]))
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (_, Some(float)) => format!("{float:?}"),
            (Some(whole), _) => whole.to_string(),
            (None, None) => number.to_u128_lossy().unwrap_or_default().to_string(),
        },
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(as_toml).collect();
            format!("[{}]", items.join(", "))
        }
        // JSON's strings are TOML's basic strings.
        other => serde_json::to_string(other.as_str().unwrap_or_default()).unwrap_or_default(),
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut current = "";
        for Origin { key, value, from } in &self.0 {
            let (section, name) = parent(key);
            if section != current {
                let gap = if current.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{section}]")?;
                current = section;
            }
            let comment = if from == "default" { String::new() } else { format!("  # from {from}") };
            writeln!(f, "{name} = {value}{comment}")?;
        }
        Ok(())
    }
}
