//! What can be asked: whether a request is as it should be, and its answer.

mod base64;
mod chat;
mod echo;
mod embeddings;
mod refusal;
mod response_format;
mod schema;

use axum::body::Bytes;
use serde_json::{Map, Value};

pub(crate) use self::refusal::Refusal;

/// What calls are made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Embeddings,
    Echo,
}

impl Endpoint {
    /// By the end of the path, whatever base clients put before it.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            _ if path.ends_with("/chat/completions") => Some(Self::Chat),
            _ if path.ends_with("/embeddings") => Some(Self::Embeddings),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Echo => "echo",
        }
    }
}

/// A good request with what its answer is made of.
#[derive(Debug)]
pub(crate) struct Asked {
    model: Option<String>,
    content: u64,
    input_tokens: u64,
    output_tokens: u64,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Chat(chat::Chat),
    Embeddings(embeddings::Embeddings),
    Echo(Bytes),
}

impl Asked {
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Equal for calls that ask the same of the same model.
    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    pub(crate) fn input_tokens(&self) -> u64 {
        self.input_tokens
    }

    pub(crate) fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// What is charged.
    pub(crate) fn tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }

    /// Lets the answer of a chat have so many tokens, as far as its caller allows.
    pub(crate) fn resize(&mut self, tokens: Option<u32>) {
        if let (Answer::Chat(chat), Some(tokens)) = (&self.answer, tokens) {
            self.output_tokens = chat.max_tokens.map_or(tokens.into(), |most| most.min(tokens.into()));
        }
    }

    /// The answer to call number `seq`.
    pub(crate) fn to_body(&self, seq: u64) -> Vec<u8> {
        match &self.answer {
            Answer::Chat(chat) => chat.to_body(self, seq, false),
            Answer::Embeddings(embeddings) => embeddings.to_body(self),
            Answer::Echo(body) => echo::to_body(body, seq),
        }
    }

    /// The same, ended at the limit of tokens where there is such a thing.
    pub(crate) fn to_cut_body(&self, seq: u64) -> Vec<u8> {
        match &self.answer {
            Answer::Chat(chat) => chat.to_body(self, seq, true),
            _ => self.to_body(seq),
        }
    }
}

/// Checks a request. Azure names the model in the path.
pub(crate) fn read(endpoint: Endpoint, deployment: Option<&str>, body: Bytes) -> Result<Asked, Refusal> {
    if endpoint == Endpoint::Echo {
        return echo::read(body);
    }
    let request: Value = serde_json::from_slice(&body).map_err(|_| Refusal::no_json())?;
    let Value::Object(mut request) = request else { return Err(Refusal::no_json()) };
    if let Some(deployment) = deployment {
        request.entry("model").or_insert_with(|| deployment.into());
    }
    match endpoint {
        Endpoint::Chat => chat::read(&request),
        _ => embeddings::read(&request),
    }
}

/// The model, and nothing that OpenAI does not know.
fn check_fields(request: &Map<String, Value>, known: &[&str]) -> Result<String, Refusal> {
    if let Some(field) = request.keys().find(|field| !known.contains(&field.as_str())) {
        return Err(Refusal::invalid(format!("Unrecognized request argument supplied: {field}"), None));
    }
    match request.get("model") {
        None | Some(Value::Null) => Err(Refusal::invalid("you must provide a model parameter".into(), None)),
        Some(Value::String(model)) if !model.is_empty() => Ok(model.clone()),
        Some(_) => Err(Refusal::wrong_type("model", "a string")),
    }
}

/// A whole number from `least`, if it is there.
fn whole(
    request: &Map<String, Value>,
    field: &'static str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, Refusal> {
    match request.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            None => Err(Refusal::wrong_type(field, "an integer")),
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Some(number) => Err(Refusal::out_of_range(field, &number, least, most)),
        },
    }
}

/// Four bytes each, rounded up.
fn tokens_of(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// Equal for equal parts.
fn content_hash(model: &str, content: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(model.as_bytes()).update(&[0]).update(content.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}
