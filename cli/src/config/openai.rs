//! `[openai]`

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{numbers, text};

/// The base URL that is used when nobody names another.
pub(super) const PUBLIC_URL: &str = "https://api.openai.com/v1";

/// What whoever wants the analyser must do.
pub(crate) const NOT_CONFIGURED: &str =
    "the analyser openai needs a key or a base URL: set OPENAI_API_KEY or OPENAI_BASE_URL";

/// A server that speaks `OpenAI`'s chat completions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAi {
    /// Where it is, without a slash at the end.
    #[serde(deserialize_with = "text::base_url")]
    pub base_url: String,
    /// The key.
    #[serde(deserialize_with = "text::optional_secret")]
    pub api_key: Option<SecretString>,
    /// A file that holds the key. At most one of the two is set.
    #[serde(deserialize_with = "text::optional_path")]
    pub api_key_file: Option<PathBuf>,
    /// The model.
    #[serde(deserialize_with = "text::required")]
    pub model: String,
    /// Azure's API version.
    #[serde(deserialize_with = "text::optional")]
    pub api_version: Option<String>,
    /// Azure's deployment; set exactly if the version is.
    #[serde(deserialize_with = "text::optional")]
    pub deployment: Option<String>,
    /// Whether to ask for answers that follow the schema.
    pub structured_output: bool,
    /// Longest answer, in tokens.
    #[serde(deserialize_with = "numbers::whole::<_, 16, 1_000_000, _>")]
    pub max_output_tokens: u32,
    /// Sampling temperature; `None`: not sent.
    #[serde(deserialize_with = "numbers::temperature")]
    pub temperature: Option<f64>,
    /// For one call.
    #[serde(deserialize_with = "text::duration")]
    pub timeout: Duration,
    /// For connecting.
    #[serde(deserialize_with = "text::duration")]
    pub connect_timeout: Duration,
    /// For silence inside a call.
    #[serde(deserialize_with = "text::optional_duration")]
    pub read_timeout: Option<Duration>,
    /// Connections that are kept open without a call.
    #[serde(deserialize_with = "numbers::whole::<_, 0, 100_000, _>")]
    pub idle_connections: usize,
    /// How long each is kept.
    #[serde(deserialize_with = "text::duration")]
    pub idle_timeout: Duration,
    /// Authorities of its certificate, beside the system's.
    #[serde(deserialize_with = "text::optional_path")]
    pub ca_file: Option<PathBuf>,
}

impl OpenAi {
    /// Whether somebody set up a server or a key. The public server without a key is of no use.
    pub fn is_configured(&self) -> bool {
        self.api_key.is_some() || self.api_key_file.is_some() || self.base_url != PUBLIC_URL
    }
}
