//! One call: request out, bounded answer in.

use std::sync::Arc;

use fleetline_shared::domain::{AnalyserRef, CallContext, JobError};
use reqwest::{Client, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::failure;
use super::reply;
use super::settings::OpenAiSettings;

/// Bytes of an answer at most.
const MAX_BODY: usize = 4 << 20;

/// A question to the model: texts, and the shape that its answer must have.
pub(super) struct Question<'a> {
    pub(super) system: &'a str,
    pub(super) user: String,
    pub(super) schema_name: &'a str,
    pub(super) schema: &'a Value,
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct OpenAi {
    settings: Arc<OpenAiSettings>,
    client: Client,
}

impl OpenAi {
    /// Prepares connections; calls nobody. A TLS provider must be installed in the process.
    pub fn new(settings: OpenAiSettings) -> Result<Self, String> {
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .user_agent(concat!("fleetline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("the HTTP client cannot be set up: {}", failure::whole(&error)))?;
        Ok(Self { settings: Arc::new(settings), client })
    }

    /// Name, model and the version of a prompt.
    pub(super) fn reference(&self, version: &str) -> AnalyserRef {
        AnalyserRef {
            name: "openai".into(),
            model: Some(self.settings.model.clone()),
            version: version.into(),
        }
    }

    /// Asks, and returns the content of the answer. Its shape is for the caller to check.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        context: &CallContext,
    ) -> Result<String, JobError> {
        let mut request = self.client.post(self.settings.url()).json(&self.body(&question));
        if let Some(key) = &self.settings.api_key {
            request = if self.settings.azure.is_some() {
                request.header("api-key", key.expose_secret())
            } else {
                request.bearer_auth(key.expose_secret())
            };
        }
        context.call_sent();
        let response = request.send().await.map_err(|error| failure::of_transport(&error, &self.settings))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_capped(response).await.map_err(|error| self.unread(&error))?;
        if !status.is_success() {
            return Err(failure::of_status(status, &headers, &body, &self.settings));
        }
        reply::content(&body, context, self.settings.max_output_tokens)
    }

    fn body(&self, question: &Question<'_>) -> Value {
        let mut system = question.system.to_owned();
        if !self.settings.structured_output {
            system =
                format!("{system}\n\nAnswer with JSON of this schema, nothing else:\n{}", question.schema);
        }
        let mut body = json!({
            "model": self.settings.model,
            "messages": [
                { "role": "system", "content": system },
                { "role": "user", "content": question.user },
            ],
        });
        body[self.settings.token_limit_field()] = json!(self.settings.max_output_tokens);
        if let Some(temperature) = self.settings.temperature {
            body["temperature"] = json!(temperature);
        }
        if self.settings.structured_output {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": { "name": question.schema_name, "strict": true, "schema": question.schema },
            });
        }
        body
    }

    fn unread(&self, error: &ReadError) -> JobError {
        match error {
            ReadError::TooLong => JobError::Retryable(format!("the answer is longer than {MAX_BODY} bytes")),
            ReadError::Broken(error) => failure::of_transport(error, &self.settings),
        }
    }
}

enum ReadError {
    TooLong,
    Broken(reqwest::Error),
}

async fn read_capped(mut response: Response) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Broken)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ReadError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
