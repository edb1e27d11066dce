//! Analysers that ask a server which speaks OpenAI's chat completions: OpenAI, Azure, vLLM, Ollama.

mod client;
mod failure;
mod log;
mod node;
mod reply;
mod settings;

pub use client::OpenAi;
pub use settings::{Azure, OpenAiSettings};
