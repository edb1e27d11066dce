//! What an answer with an error status means for the job.

use std::time::Duration;

use fleetline_shared::domain::JobError;
use reqwest::StatusCode;

use crate::upstream::{REDIRECT, Said, said};

/// The error for a status that is no success.
/// `retry_after` is how long the server asks to wait.
pub(super) fn of(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> JobError {
    let said = said(body);
    let message = format!("HTTP {status}: {}", said.message);
    match status.as_u16() {
        429 if said.code.contains("insufficient_quota") => JobError::Permanent(format!(
            "{message}; the account behind the key has nothing left to spend: add credit or raise its \
             budget at the provider, then redrive the job"
        )),
        429 => JobError::RateLimited { retry_after, message },
        408 | 409 | 425 | 500.. => JobError::Retryable(message),
        code => JobError::Permanent(message + hint(code, &said).as_str()),
    }
}

fn hint(status: u16, said: &Said) -> String {
    let about = |word: &str| said.message.contains(word) || said.code.contains(word);
    match status {
        300..=399 => REDIRECT.to_owned(),
        401 => "; is the key right, and is it one for this server?".to_owned(),
        402 => "; the account has nothing left to spend: add credit, then redrive the job".to_owned(),
        403 => "; may this key use this model, from this network?".to_owned(),
        404 => "; are model, deployment and base_url right? (OpenAI's base_url ends with /v1)".to_owned(),
        413 => "; the input is too large: lower max_subtree_kb".to_owned(),
        _ if about("context_length") || about("context length") || about("maximum context") => {
            "; the input is too long for the model: lower max_subtree_kb or choose a model with a longer context"
                .to_owned()
        }
        _ if about("response_format") || about("json_schema") => {
            "; the server does not know JSON schemas: set structured_output to json_object or none".to_owned()
        }
        _ if about("max_tokens") || about("max_completion_tokens") => {
            "; the server knows the other name of this limit: set token_limit to max_tokens or \
             max_completion_tokens, or lower max_output_tokens"
                .to_owned()
        }
        _ if about("temperature") => "; the model takes only its own temperature: set none".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> JobError {
        let status = StatusCode::from_u16(status).expect("a status");
        of(status, Some(Duration::from_secs(7)), body.as_bytes())
    }

    #[test]
    fn statuses() {
        let error =
            |code: &str| format!(r#"{{"error": {{"message": "no", "type": "x", "code": "{code}"}}}}"#);
        for (status, code, sort, part) in [
            (307, "", "permanent", "is base_url right"),
            (400, "invalid", "permanent", "HTTP 400 Bad Request: no"),
            (400, "context_length_exceeded", "permanent", "lower max_subtree_kb"),
            (400, "unsupported response_format", "permanent", "structured_output"),
            (400, "max_tokens", "permanent", "token_limit"),
            (401, "invalid_api_key", "permanent", "is the key right"),
            (402, "", "permanent", "add credit"),
            (403, "", "permanent", "may this key"),
            (404, "model_not_found", "permanent", "are model, deployment and base_url right"),
            (408, "", "retryable", "408"),
            (409, "", "retryable", "409"),
            (422, "", "permanent", "422"),
            (429, "rate_limit_exceeded", "limited", "429"),
            (429, "insufficient_quota", "permanent", "nothing left to spend"),
            (500, "", "retryable", "500"),
            (503, "", "retryable", "503"),
            (529, "", "retryable", "529"),
        ] {
            let (found, message) = match judge(status, &error(code)) {
                JobError::Retryable(message) => ("retryable", message),
                JobError::Permanent(message) => ("permanent", message),
                JobError::RateLimited { message, .. } => ("limited", message),
                JobError::Snooze { why, .. } => ("snooze", why),
            };
            assert_eq!(found, sort, "{status} {code}");
            assert!(message.contains(part), "{status} {code}: {message}");
        }
    }

    #[test]
    fn a_quota_type_without_a_code_is_one_too() {
        let body =
            r#"{"error": {"message": "m", "type": "insufficient_quota", "param": null, "code": null}}"#;
        assert!(matches!(judge(429, body), JobError::Permanent(_)));
    }

    #[test]
    fn the_wait_is_handed_on() {
        let limited = judge(429, "");
        let JobError::RateLimited { retry_after, .. } = limited else { panic!("not limited: {limited}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }
}
