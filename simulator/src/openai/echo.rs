//! `POST /v1/echo`: any JSON, for calls that have nothing to do with models.

use axum::body::Bytes;
use serde::de::IgnoredAny;

use super::{Answer, Asked, Refusal, content_hash, tokens_of};

pub(super) fn read(body: Bytes) -> Result<Asked, Refusal> {
    let text = std::str::from_utf8(&body).map_err(|_| Refusal::no_json())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Refusal::no_json())?;
    let tokens = tokens_of(text);
    let content = content_hash("", text);
    Ok(Asked {
        model: None,
        content,
        input_tokens: tokens,
        output_tokens: tokens,
        answer: Answer::Echo(body),
    })
}

/// What came, and the number of the call.
pub(super) fn to_body(body: &[u8], seq: u64) -> Vec<u8> {
    let mut answer = format!("{{\"call\":{seq},\"echo\":").into_bytes();
    answer.extend_from_slice(body);
    answer.push(b'}');
    answer
}
