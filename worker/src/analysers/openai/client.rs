//! One call: send, read, judge.

use std::time::Duration;

use fleetline_shared::domain::{CallContext, JobError};
use reqwest::Url;

use super::config::{OpenAiConfig, OpenAiError};
use super::request::{Question, body, fixed_tokens};
use super::tokens::Tokens;
use super::{NAME, answer, endpoint, failure};
use crate::upstream::UpstreamClient;

/// A client of one server, shared by all analysers that use it.
pub struct ChatClient {
    config: OpenAiConfig,
    url: Url,
    upstream: UpstreamClient,
    tokens: Tokens,
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
        let url = endpoint::url(&config).map_err(|problem| OpenAiError::Settings(vec![problem]))?;
        let secrets = key.into_iter().chain(config.headers.values().cloned()).collect();
        let upstream = UpstreamClient::new(NAME, &config.connections(), headers, secrets);
        let tokens = Tokens::of_model(&config.model);
        Ok(Self { upstream: upstream.map_err(OpenAiError::Client)?, config, url, tokens })
    }

    /// The configured model.
    pub fn model(&self) -> &str {
        &self.config.model
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Tokens of a text to the model.
    pub(super) fn tokens(&self, text: &str) -> u64 {
        self.tokens.count(text)
    }

    /// Tokens of a question without its `user`: the same for all questions of an analyser.
    pub(super) fn fixed_tokens(&self, question: &Question<'_>) -> u64 {
        fixed_tokens(self.tokens, self.config.structured_output, question)
    }

    /// Tokens of an answer that usually has so many.
    pub(super) fn answer_tokens(&self, usual: u64) -> u64 {
        usual.min(self.config.max_output_tokens.into())
    }

    /// The text of the answer, complete as the server says. One paid call.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        context: &CallContext,
    ) -> Result<String, JobError> {
        let answer = self.upstream.post(&self.url, &body(&self.config, question), context).await?;
        let text = if answer.status.is_success() {
            answer::text(&answer.body, self.config.max_output_tokens, context)
        } else {
            let wait = answer.feedback.retry_after;
            Err(failure::of(answer.status, wait, &answer.body))
        };
        text.map_err(|error| self.upstream.error(error, &answer))
    }
}
