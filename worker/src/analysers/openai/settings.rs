//! Where the server is, and how to talk to it.

use std::time::Duration;

use secrecy::SecretString;

/// Settings of one server. `Debug` never shows the key.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Without a slash at the end: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Local servers need none.
    pub api_key: Option<SecretString>,
    /// The model; on Azure the one behind the deployment, for the dedup key.
    pub model: String,
    /// Set for Azure only.
    pub azure: Option<Azure>,
    /// Whether to ask for an answer that follows the schema. Without it the schema stands in the
    /// prompt only. Answers are checked either way.
    pub structured_output: bool,
    /// An answer that needs more is cut off by the server, which is an error here.
    pub max_output_tokens: u32,
    /// `None`: not sent, for models that refuse it.
    pub temperature: Option<f64>,
    /// For one call.
    pub timeout: Duration,
    /// For connecting alone.
    pub connect_timeout: Duration,
}

/// What Azure's paths need.
#[derive(Clone, Debug)]
pub struct Azure {
    /// Name of the deployment.
    pub deployment: String,
    /// Such as `2024-10-21`.
    pub api_version: String,
}

impl OpenAiSettings {
    /// Where chat completions are posted to.
    pub fn url(&self) -> String {
        let base = self.base_url.trim_end_matches('/');
        match &self.azure {
            None => format!("{base}/chat/completions"),
            Some(azure) => format!(
                "{base}/openai/deployments/{}/chat/completions?api-version={}",
                azure.deployment, azure.api_version
            ),
        }
    }

    /// OpenAI's newer models refuse `max_tokens`, many compatible servers know nothing else.
    pub(super) fn token_limit_field(&self) -> &'static str {
        let is_openai = self.base_url.contains("://api.openai.com");
        if is_openai || self.azure.is_some() { "max_completion_tokens" } else { "max_tokens" }
    }
}
