//! Chat completions.

use serde_json::{Map, Value, json};

use super::response_format::{self, Format};
use super::{Answer, Asked, Refusal, check_fields, content_hash, schema, tokens_of, whole};

const FIELDS: [&str; 38] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "extra_body",
];
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// Servers add so many to each message.
const TOKENS_OF_A_MESSAGE: u64 = 3;
/// Characters of the question in an answer that has no form.
const QUOTED: usize = 100;

/// What a chat is answered with.
#[derive(Debug)]
pub(super) struct Chat {
    text: String,
    choices: u64,
    /// Of all choices together.
    pub(super) max_tokens: Option<u64>,
    is_cut: bool,
}

impl Chat {
    /// With `cut`, only half of the text.
    pub(super) fn to_body(&self, asked: &Asked, seq: u64, cut: bool) -> Vec<u8> {
        let text = if cut { begin(&self.text, self.text.len() / 2) } else { &self.text };
        let finish = if cut || self.is_cut { "length" } else { "stop" };
        let choice = |index: u64| {
            json!({
                "index": index,
                "finish_reason": finish,
                "logprobs": null,
                "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] },
            })
        };
        let (input, output) = (asked.input_tokens, asked.output_tokens);
        let body = json!({
            "id": format!("chatcmpl-{seq:016x}"),
            "object": "chat.completion",
            "created": 1_700_000_000 + seq,
            "model": asked.model,
            "choices": (0..self.choices).map(choice).collect::<Vec<_>>(),
            "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output },
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        });
        body.to_string().into_bytes()
    }
}

/// Checks a request and prepares its answer.
pub(super) fn read(request: &Map<String, Value>) -> Result<Asked, Refusal> {
    let model = check_fields(request, &FIELDS)?;
    if request.get("stream").is_some_and(|stream| *stream == Value::Bool(true)) {
        let message = "The simulator does not stream: leave 'stream' out or send false.";
        return Err(Refusal::invalid(message.into(), Some("stream")));
    }
    if !request.get("temperature").is_none_or(is_temperature) {
        return Err(Refusal::wrong_type("temperature", "a number from 0 to 2"));
    }
    let choices = whole(request, "n", 1, 128)?.unwrap_or(1);
    let max_tokens = max_tokens(request)?.map(|most| most.saturating_mul(choices));
    let messages = messages(request)?;
    let format = response_format::read(request.get("response_format"), &messages)?;
    let input_tokens: u64 = messages.iter().map(|(_, text)| tokens_of(text) + TOKENS_OF_A_MESSAGE).sum();
    let input_tokens = input_tokens + format.schema.map_or(0, |schema| tokens_of(&schema.to_string()));
    let (text, is_cut) = answer(&format, &messages, max_tokens.map(|most| most / choices));
    let output_tokens = tokens_of(&text) * choices;
    let content: String = messages.iter().flat_map(|(role, text)| [role, "\n", text, "\0"]).collect();
    let content = content_hash(&model, &content);
    let answer = Answer::Chat(Chat { text, choices, max_tokens, is_cut });
    Ok(Asked { model: Some(model), content, input_tokens, output_tokens, answer })
}

fn is_temperature(value: &Value) -> bool {
    value.is_null() || value.as_f64().is_some_and(|value| (0.0..=2.0).contains(&value))
}

fn max_tokens(request: &Map<String, Value>) -> Result<Option<u64>, Refusal> {
    let old = whole(request, "max_tokens", 1, u64::MAX)?;
    let new = whole(request, "max_completion_tokens", 1, u64::MAX)?;
    if old.is_some() && new.is_some() {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(Refusal::invalid(message.into(), Some("max_tokens")));
    }
    Ok(old.or(new))
}

/// Roles and texts.
fn messages(request: &Map<String, Value>) -> Result<Vec<(&str, String)>, Refusal> {
    let messages = match request.get("messages") {
        None => return Err(Refusal::missing("messages")),
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(Refusal::wrong_type("messages", "an array of objects")),
    };
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
        return Err(Refusal::invalid(message.into(), Some("messages")));
    }
    messages.iter().map(message).collect()
}

fn message(message: &Value) -> Result<(&str, String), Refusal> {
    let role = message.get("role").and_then(Value::as_str).filter(|role| ROLES.contains(role));
    let role = role.ok_or_else(|| {
        Refusal::invalid(
            format!("Invalid value for 'messages.role': expected one of {ROLES:?}."),
            Some("messages"),
        )
    })?;
    let text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        None | Some(Value::Null) if role == "assistant" => String::new(),
        _ => return Err(Refusal::wrong_type("messages", "content that is a string or an array of parts")),
    };
    Ok((role, text))
}

/// The text, and whether it met the limit of tokens.
fn answer(format: &Format, messages: &[(&str, String)], max_tokens: Option<u64>) -> (String, bool) {
    let question = messages.last().map(|(_, text)| text.as_str()).unwrap_or_default();
    let text = match format.schema.or(format.prompted.as_ref()) {
        Some(schema) => schema::example(schema, question).to_string(),
        None if format.is_json => json!({ "answer": "simulated" }).to_string(),
        None => format!("A simulated answer to: {}", begin(question, QUOTED)),
    };
    match max_tokens.and_then(|most| usize::try_from(most.saturating_mul(4)).ok()) {
        Some(most) if text.len() > most => (begin(&text, most).to_owned(), true),
        _ => (text, false),
    }
}

/// The first bytes, without half a character at the end.
fn begin(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
