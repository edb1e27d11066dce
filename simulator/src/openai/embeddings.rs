//! Embeddings.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, Refusal, base64, check_fields, content_hash, tokens_of, whole};

const FIELDS: [&str; 5] = ["dimensions", "encoding_format", "input", "model", "user"];
/// OpenAI's own limits.
const MAX_INPUTS: usize = 2_048;
const MAX_TOKENS_OF_ONE: u64 = 8_192;
const MAX_TOKENS: u64 = 300_000;
const MAX_DIMENSIONS: u64 = 3_072;

/// What a request for embeddings is answered with.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// One for each input: equal inputs have equal vectors.
    seeds: Vec<u64>,
    dimensions: usize,
    is_base64: bool,
}

impl Embeddings {
    pub(super) fn to_body(&self, asked: &Asked) -> Vec<u8> {
        let embedding = |(index, seed): (usize, &u64)| {
            let vector = vector(*seed, self.dimensions);
            let vector = if self.is_base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Value::String(base64::encode(&bytes))
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": vector })
        };
        let tokens = asked.input_tokens;
        let body = json!({
            "object": "list",
            "data": self.seeds.iter().enumerate().map(embedding).collect::<Vec<_>>(),
            "model": asked.model,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        });
        body.to_string().into_bytes()
    }
}

/// Of length 1.
#[expect(clippy::cast_possible_truncation, reason = "embeddings are 32-bit floats")]
fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut rng = Rng::with_seed(seed);
    let numbers: Vec<f64> = (0..dimensions).map(|_| rng.f64() - 0.5).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.into_iter().map(|number| (number / length) as f32).collect()
}

/// Checks a request.
pub(super) fn read(request: &Map<String, Value>) -> Result<Asked, Refusal> {
    let model = check_fields(request, &FIELDS)?;
    let usual = if model.contains("large") { MAX_DIMENSIONS } else { 1_536 };
    let dimensions = whole(request, "dimensions", 1, MAX_DIMENSIONS)?.unwrap_or(usual);
    let is_base64 = match request.get("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => return Err(Refusal::wrong_type("encoding_format", "'float' or 'base64'")),
    };
    let inputs = inputs(request)?;
    let tokens: Vec<u64> = inputs.iter().map(Input::tokens).collect();
    if tokens.iter().any(|tokens| *tokens > MAX_TOKENS_OF_ONE) {
        let message = format!("Invalid 'input': maximum context length is {MAX_TOKENS_OF_ONE} tokens.");
        return Err(Refusal::invalid(message, Some("input")));
    }
    let input_tokens: u64 = tokens.iter().sum();
    if input_tokens > MAX_TOKENS {
        let message =
            format!("Invalid 'input': at most {MAX_TOKENS} tokens in a request, not {input_tokens}.");
        return Err(Refusal::invalid(message, Some("input")));
    }
    let seeds: Vec<u64> = inputs.iter().map(|input| content_hash(&model, &input.0)).collect();
    let content =
        content_hash(&model, &inputs.iter().flat_map(|input| [input.0.as_str(), "\0"]).collect::<String>());
    let dimensions = usize::try_from(dimensions).expect("checked above");
    let answer = Answer::Embeddings(Embeddings { seeds, dimensions, is_base64 });
    Ok(Asked { model: Some(model), content, input_tokens, output_tokens: 0, answer })
}

/// A text, or the numbers of its tokens.
struct Input(String, Option<u64>);

impl Input {
    fn tokens(&self) -> u64 {
        self.1.unwrap_or_else(|| tokens_of(&self.0))
    }

    fn read(value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::String(text) if !text.is_empty() => Ok(Self(text.clone(), None)),
            Value::Array(tokens) if !tokens.is_empty() && tokens.iter().all(Value::is_u64) => {
                Ok(Self(value.to_string(), Some(tokens.len() as u64)))
            }
            _ => Err(Refusal::wrong_type("input", "texts or arrays of tokens, none of them empty")),
        }
    }
}

fn inputs(request: &Map<String, Value>) -> Result<Vec<Input>, Refusal> {
    match request.get("input") {
        None => Err(Refusal::missing("input")),
        Some(Value::Array(inputs)) if inputs.len() > MAX_INPUTS && !inputs[0].is_u64() => {
            let message = format!("Invalid 'input': at most {MAX_INPUTS} inputs, not {}.", inputs.len());
            Err(Refusal::invalid(message, Some("input")))
        }
        Some(Value::Array(inputs)) if inputs.first().is_some_and(|first| !first.is_u64()) => {
            inputs.iter().map(Input::read).collect()
        }
        Some(one) => Ok(vec![Input::read(one)?]),
    }
}
