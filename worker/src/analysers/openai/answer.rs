//! From a successful response to checked text, and from text to what was asked for.

use fleetline_shared::domain::{CallContext, JobError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::analysers::{capped, one_line};

/// Characters of an answer that are shown in an error.
const MAX_SHOWN: usize = 200;

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<TokenUsage>,
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
struct TokenUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// The text of the only choice. Tokens are booked whether it is of use or not: they are paid for.
pub(super) fn text(body: &[u8], limit: u32, context: &CallContext) -> Result<String, JobError> {
    let completion: Completion = serde_json::from_slice(body).map_err(|error| {
        let begins = capped(&one_line(&String::from_utf8_lossy(body)), MAX_SHOWN);
        JobError::Retryable(format!("the response is no chat completion: {error}; it begins with: {begins}"))
    })?;
    if let Some(usage) = &completion.usage {
        context.tokens_used(usage.prompt_tokens, usage.completion_tokens);
    }
    let Some(Choice { finish_reason, message }) = completion.choices.into_iter().next() else {
        return Err(JobError::Retryable("the response has no choices".to_owned()));
    };
    if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
        return Err(JobError::Permanent(format!(
            "the model refused: {}",
            capped(&one_line(&refusal), MAX_SHOWN)
        )));
    }
    let retry = |message: String| Err(JobError::Retryable(message));
    match finish_reason.as_deref() {
        None | Some("stop") => {}
        Some("length") => {
            return retry(format!(
                "the answer was cut off at max_output_tokens = {limit}: raise it, or lower max_subtree_kb"
            ));
        }
        Some("content_filter") => return retry("the provider's content filter cut the answer".to_owned()),
        Some(other) => return retry(format!("the answer ended with {}", capped(other, MAX_SHOWN))),
    }
    match message.content.filter(|content| !content.trim().is_empty()) {
        Some(text) => Ok(text),
        None => retry("the answer is empty".to_owned()),
    }
}

/// The answer as what was asked for. Anything else may be better next time.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JobError> {
    let json = without_fence(text);
    serde_json::from_str(json).map_err(|error| {
        let begins = capped(&one_line(json), MAX_SHOWN);
        JobError::Retryable(format!(
            "the answer does not follow the schema: {error}; it begins with: {begins}"
        ))
    })
}

/// A number from 0 to 1.
pub(super) fn confidence(value: f64) -> Result<f64, JobError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(JobError::Retryable(format!(
        "the answer does not follow the schema: confidence {value} is not from 0 to 1"
    )))
}

/// Models that no server holds to JSON like to wrap it in a Markdown block.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(inside) = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")) else {
        return text;
    };
    inside.strip_prefix("json").unwrap_or(inside).trim()
}

#[cfg(test)]
mod tests {
    use fleetline_shared::domain::JobId;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn judge(body: &str) -> (Result<String, JobError>, u64) {
        let context = CallContext::new(JobId::new(), 1, CancellationToken::new());
        let result = text(body.as_bytes(), 100, &context);
        (result, context.usage().output_tokens)
    }

    fn completion(finish: &Value, message: &Value) -> String {
        json!({
            "choices": [{ "finish_reason": finish, "message": message }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 5 },
        })
        .to_string()
    }

    #[test]
    fn only_a_complete_answer_is_one() {
        let content = json!({ "content": "{}" });
        for (body, expected) in [
            (completion(&json!("stop"), &content), Ok(())),
            (completion(&json!(null), &content), Ok(())),
            (completion(&json!("length"), &content), Err("raise it")),
            (completion(&json!("content_filter"), &content), Err("content filter")),
            (completion(&json!("tool_calls"), &content), Err("ended with tool_calls")),
            (completion(&json!("stop"), &json!({ "content": null })), Err("is empty")),
            (completion(&json!("stop"), &json!({ "content": " " })), Err("is empty")),
        ] {
            let (result, tokens) = judge(&body);
            assert_eq!(tokens, 5, "tokens are paid for, whatever the answer: {body}");
            match (result, expected) {
                (Ok(content), Ok(())) => assert_eq!(content, "{}"),
                (Err(JobError::Retryable(said)), Err(part)) => assert!(said.contains(part), "{said}"),
                (result, _) => panic!("{body}: {result:?}"),
            }
        }
        let refusal = completion(&json!("stop"), &json!({ "content": null, "refusal": "I will not" }));
        assert_eq!(judge(&refusal).0, Err(JobError::Permanent("the model refused: I will not".into())));
        for body in ["", "{", "[]", "{}", r#"{"choices": []}"#, "<html>", r#"{"choices": [{}]}"#] {
            assert!(matches!(judge(body).0, Err(JobError::Retryable(_))), "{body}");
        }
    }

    #[test]
    fn fences_fall() {
        for text in ["{\"a\":1}", " ```json\n{\"a\":1}\n``` ", "```\n{\"a\":1}```"] {
            assert_eq!(parse::<Value>(text), Ok(json!({ "a": 1 })));
        }
        assert!(matches!(parse::<Value>("{\"a\":"), Err(JobError::Retryable(_))));
        assert!(confidence(0.5).is_ok() && confidence(1.01).is_err() && confidence(f64::NAN).is_err());
    }
}
