//! Reading an answer. What the model says is not trusted: a cut-off or malformed answer is an
//! error, never an empty success.

use fleetline_shared::domain::{CallContext, JobError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::answers::capped;

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// The content of a completion, after its usage is on the books.
pub(super) fn content(
    body: &[u8],
    context: &CallContext,
    max_output_tokens: u32,
) -> Result<String, JobError> {
    let completion: Completion = serde_json::from_slice(body)
        .map_err(|error| JobError::Retryable(format!("the answer is no chat completion: {error}")))?;
    if let Some(tokens) = &completion.usage {
        context.tokens_used(tokens.prompt_tokens, tokens.completion_tokens);
    }
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| JobError::Retryable("the completion has no choices".into()))?;
    if let Some(refusal) = choice.message.refusal.filter(|refusal| !refusal.is_empty()) {
        return Err(JobError::Permanent(format!("the model refuses: {}", capped(&refusal, 300))));
    }
    match choice.finish_reason.as_deref() {
        Some("length") => Err(JobError::Retryable(format!(
            "the answer was cut off at {max_output_tokens} tokens: raise openai.max_output_tokens, or lower \
             discovery.max_subtree_kb"
        ))),
        Some("content_filter") => {
            Err(JobError::Retryable("the provider's content filter cut the answer".into()))
        }
        _ => choice
            .message
            .content
            .filter(|content| !content.trim().is_empty())
            .ok_or_else(|| JobError::Retryable("the completion has no content".into())),
    }
}

/// The content as what it should be.
pub(super) fn parse<T: DeserializeOwned>(content: &str) -> Result<T, JobError> {
    serde_json::from_str(unfenced(content)).map_err(|error| {
        JobError::Retryable(format!(
            "the answer does not follow its schema: {error}: {}",
            capped(content, 200)
        ))
    })
}

/// Models without structured output like to wrap JSON in a Markdown fence.
fn unfenced(content: &str) -> &str {
    let content = content.trim();
    let Some(inner) = content.strip_prefix("```") else { return content };
    let inner = inner.strip_prefix("json").unwrap_or(inner);
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetline_shared::domain::JobId;
    use serde_json::{Value, json};

    fn read(body: &Value) -> (Result<String, JobError>, u64) {
        let context = CallContext::new(JobId::new(), 1, tokio_util::sync::CancellationToken::new());
        let read = content(body.to_string().as_bytes(), &context, 50);
        (read, context.usage().input_tokens)
    }

    fn completion(finish: &str, message: Value) -> Value {
        json!({ "choices": [{ "finish_reason": finish, "message": message }],
                "usage": { "prompt_tokens": 11, "completion_tokens": 7 } })
    }

    #[test]
    fn only_a_whole_answer_is_an_answer() {
        let retryable = |body: &Value| matches!(read(body).0, Err(JobError::Retryable(_)));
        assert_eq!(read(&completion("stop", json!({ "content": "{}" }))).0.unwrap(), "{}");
        assert!(retryable(&completion("length", json!({ "content": "{\"facts\":[" }))));
        assert!(retryable(&completion("content_filter", json!({ "content": "{}" }))));
        assert!(retryable(&completion("stop", json!({ "content": null }))));
        assert!(retryable(&completion("stop", json!({ "content": "  " }))));
        assert!(retryable(&json!({ "choices": [] })));
        assert!(retryable(&json!({ "error": "?" })));
        let refused = read(&completion("stop", json!({ "content": null, "refusal": "no" }))).0;
        assert!(matches!(refused, Err(JobError::Permanent(_))));
    }

    #[test]
    fn tokens_of_a_useless_answer_are_on_the_books() {
        assert_eq!(read(&completion("length", json!({ "content": "" }))).1, 11);
    }

    #[test]
    fn fences_are_taken_off() {
        for text in ["{\"a\":1}", "```json\n{\"a\":1}\n```", "```\n{\"a\":1}```", "  {\"a\":1} "] {
            assert_eq!(parse::<Value>(text).unwrap(), json!({ "a": 1 }), "{text}");
        }
        assert!(matches!(parse::<Value>("I think"), Err(JobError::Retryable(_))));
    }
}
