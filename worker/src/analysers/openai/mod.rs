//! Any server that speaks OpenAI's chat completions: OpenAI, Azure, vLLM, Ollama, ...
//!
//! [`ChatClient`] makes one call and gives back checked text; [`OpenAiNodes`] and [`OpenAiLogs`] know
//! what to ask and what an answer must look like. Answers are untrusted: what does not follow the
//! schema is an error, never an empty success.

mod answer;
mod client;
mod config;
mod endpoint;
mod failure;
mod log;
mod node;
mod request;
mod tokens;

pub use client::ChatClient;
pub use config::{OpenAiConfig, OpenAiError, StructuredOutput, TokenLimit};
pub use log::OpenAiLogs;
pub use node::OpenAiNodes;

/// Name of these analysers.
const NAME: &str = "openai";
