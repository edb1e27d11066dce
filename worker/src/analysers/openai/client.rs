//! One call: send, read, judge.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use fleetline_shared::domain::{CallContext, JobError};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::body::{MAX_ANSWER, MAX_ERROR, read};
use super::config::{OpenAiConfig, OpenAiError};
use super::request::{Question, body};
use super::{answer, endpoint, failure};

/// A client of one server, shared by all analysers that use it.
pub struct ChatClient {
    config: OpenAiConfig,
    url: Url,
    http: Client,
    secrets: Vec<SecretString>,
}

impl ChatClient {
    /// Checks the settings and reads the key's file. Sends nothing.
    ///
    /// A process-wide TLS provider must be installed (`rustls::crypto`).
    pub fn new(config: OpenAiConfig) -> Result<Self, OpenAiError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(OpenAiError::Settings(problems));
        }
        let key = endpoint::key(&config)?;
        let headers = endpoint::headers(&config, key.as_ref())?;
        let http = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("fleetline/", env!("CARGO_PKG_VERSION")))
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout)
            // The input and the key go to the configured server or nowhere.
            .redirect(Policy::none())
            // Every call that leaves is counted, so none leaves twice.
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| OpenAiError::Client(chain(&error)))?;
        let url = endpoint::url(&config).map_err(|problem| OpenAiError::Settings(vec![problem]))?;
        let secrets = key.into_iter().chain(config.headers.values().cloned()).collect();
        Ok(Self { config, url, http, secrets })
    }

    /// The configured model.
    pub fn model(&self) -> &str {
        &self.config.model
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// The text of the answer, complete as the server says. One paid call.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        context: &CallContext,
    ) -> Result<String, JobError> {
        let request = self.http.post(self.url.clone()).json::<Value>(&body(&self.config, question));
        context.call_sent();
        let response = request.send().await.map_err(|error| self.not_sent(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let (bytes, cut) = read(response, MAX_ANSWER).await.map_err(|error| self.not_sent(error))?;
        if cut {
            return Err(JobError::Retryable(format!("the answer has more than {MAX_ANSWER} bytes")));
        }
        answer::text(&bytes, self.config.max_output_tokens, context)
            .map_err(|error| self.without_secrets(error))
    }

    async fn refused(&self, response: Response) -> JobError {
        let (status, headers) = (response.status(), response.headers().clone());
        // An error whose text cannot be read is told by its status.
        let (bytes, _) = read(response, MAX_ERROR).await.unwrap_or_default();
        let error = failure::of(status, &headers, &bytes, SystemTime::now());
        self.without_secrets(error)
    }

    fn not_sent(&self, error: reqwest::Error) -> JobError {
        let what = match () {
            () if error.is_connect() => "no connection",
            () if error.is_timeout() => "no answer in time",
            () => "the call failed",
        };
        let host = self.url.origin().ascii_serialization();
        let hint = if error.is_connect() { "; is base_url right, and does the server run?" } else { "" };
        let message = format!("{what} ({host}): {}{hint}", chain(&error.without_url()));
        self.without_secrets(JobError::Retryable(message))
    }

    /// Servers like to repeat what they were sent.
    fn without_secrets(&self, error: JobError) -> JobError {
        let clean = |message: String| {
            self.secrets
                .iter()
                .map(ExposeSecret::expose_secret)
                .filter(|secret| secret.len() >= 4)
                .fold(message, |message, secret| message.replace(secret, "[secret]"))
        };
        match error {
            JobError::Retryable(message) => JobError::Retryable(clean(message)),
            JobError::Permanent(message) => JobError::Permanent(clean(message)),
            JobError::RateLimited { retry_after, message } => {
                JobError::RateLimited { retry_after, message: clean(message) }
            }
            JobError::Snooze { delay, why } => JobError::Snooze { delay, why: clean(why) },
        }
    }
}

/// An error with its causes; the outermost alone often says nothing.
fn chain(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}
