//! Settings of a server, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fleetline_shared::tls::CaFile;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::upstream::UpstreamSettings;

/// A server that speaks chat completions. `Debug` shows no secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiConfig {
    /// `https://api.openai.com/v1`; for Azure `https://NAME.openai.azure.com`.
    pub base_url: String,
    /// The key; servers of one's own often need none.
    pub api_key: Option<SecretString>,
    /// A file that holds the key, instead of `api_key`.
    pub api_key_file: Option<PathBuf>,
    /// The model. Part of the dedup key.
    pub model: String,
    /// Azure: `2024-10-21` or later.
    pub api_version: Option<String>,
    /// Azure: name of the deployment.
    pub deployment: Option<String>,
    /// From 0 to 2; not sent if there is none: some models take only their own.
    pub temperature: Option<f64>,
    /// The longest answer, in tokens, thinking included. A longer one is cut off and counts as failed.
    pub max_output_tokens: u32,
    /// Name of the field that carries `max_output_tokens`.
    pub token_limit: TokenLimit,
    /// How answers are made to follow the schema.
    pub structured_output: StructuredOutput,
    /// For one call from first to last byte. In seconds in a file.
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
    /// For the connection alone. In seconds in a file.
    #[serde(deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// For silence inside a call; `None`: models may think as long as `timeout` allows. In seconds in
    /// a file.
    #[serde(deserialize_with = "optional_seconds")]
    pub read_timeout: Option<Duration>,
    /// Connections without a call that are kept open.
    pub idle_connections: usize,
    /// How long each is kept. In seconds in a file.
    #[serde(deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// Who may have signed its certificate, beside the system's authorities. Not in a file.
    #[serde(skip)]
    pub ca: Option<CaFile>,
    /// Further headers, for gateways. Treated as secret.
    pub headers: BTreeMap<String, SecretString>,
    /// OpenAI: whom to bill, if the key belongs to several.
    pub organization: Option<String>,
    /// OpenAI: which project to bill.
    pub project: Option<String>,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        let connections = UpstreamSettings::default();
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            api_key_file: None,
            model: "gpt-4o-mini".to_owned(),
            api_version: None,
            deployment: None,
            temperature: None,
            max_output_tokens: 8_000,
            token_limit: TokenLimit::default(),
            structured_output: StructuredOutput::default(),
            timeout: connections.timeout,
            connect_timeout: connections.connect_timeout,
            read_timeout: connections.read_timeout,
            idle_connections: connections.idle_connections,
            idle_timeout: connections.idle_timeout,
            ca: connections.ca,
            headers: BTreeMap::new(),
            organization: None,
            project: None,
        }
    }
}

/// How answers are made to follow the schema. They are checked in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// The server enforces it.
    #[default]
    JsonSchema,
    /// The server enforces JSON; the schema stands in the prompt.
    JsonObject,
    /// The schema stands in the prompt.
    None,
}

/// Name of the field that limits an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    /// Today's name: OpenAI, Azure, vLLM.
    #[default]
    MaxCompletionTokens,
    /// The older name: Ollama, older gateways.
    MaxTokens,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum OpenAiError {
    /// Settings that cannot be; all of them.
    #[error("settings of openai: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The key's file cannot be read.
    #[error("api_key_file {path}: {message}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

impl OpenAiConfig {
    /// Limits of the connections.
    pub(super) fn connections(&self) -> UpstreamSettings {
        UpstreamSettings {
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            timeout: self.timeout,
            idle_connections: self.idle_connections,
            idle_timeout: self.idle_timeout,
            ca: self.ca.clone(),
            ..UpstreamSettings::default()
        }
    }

    /// All that is wrong, for people; empty if nothing is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |wrong: bool, says: &str| {
            if wrong {
                problems.push(says.to_owned());
            }
        };
        check(self.model.trim().is_empty(), "model is empty: name one, such as gpt-4o-mini");
        check(
            self.api_key.is_some() && self.api_key_file.is_some(),
            "api_key and api_key_file are both set: set one",
        );
        check(
            self.api_version.is_some() != self.deployment.is_some(),
            "api_version and deployment belong together (Azure): set both or none",
        );
        check(
            self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)),
            "temperature must be from 0 to 2",
        );
        check(self.max_output_tokens == 0, "max_output_tokens must be above 0");
        let timeouts = [Some(self.timeout), Some(self.connect_timeout), self.read_timeout];
        check(timeouts.contains(&Some(Duration::ZERO)), "timeouts must be above 0");
        if let Err(problem) = super::endpoint::url(self) {
            problems.push(problem);
        }
        problems
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_at_once() {
        assert_eq!(OpenAiConfig::default().problems(), Vec::<String>::new());
        let config = OpenAiConfig {
            base_url: "ftp://nowhere".into(),
            api_key: Some("k".into()),
            api_key_file: Some("f".into()),
            model: " ".into(),
            deployment: Some("d".into()),
            temperature: Some(3.0),
            max_output_tokens: 0,
            timeout: Duration::ZERO,
            ..OpenAiConfig::default()
        };
        assert_eq!(config.problems().len(), 7, "{:?}", config.problems());
    }

    #[test]
    fn settings_parse_and_secrets_do_not_show() {
        let text = r#"{"base_url": "http://localhost:11434/v1", "api_key": "sk-secret", "timeout": 2.5,
            "structured_output": "json_object", "token_limit": "max_tokens", "headers": {"x-a": "sk-other"}}"#;
        let config: OpenAiConfig = serde_json::from_str(text).expect("settings");
        assert_eq!(config.timeout, Duration::from_millis(2_500));
        assert_eq!(config.structured_output, StructuredOutput::JsonObject);
        assert_eq!(config.token_limit, TokenLimit::MaxTokens);
        assert!(!format!("{config:?}").contains("sk-"));
        assert!(serde_json::from_str::<OpenAiConfig>(r#"{"modle": "x"}"#).is_err());
    }
}
