//! Estimates of paid calls count what is sent.

use std::sync::Arc;

use fleetline_shared::domain::{Estimate, KindPolicy};
use fleetline_tests::openai_stub::OpenAiStub;
use fleetline_worker::analysers::openai::{ChatClient, OpenAiConfig, StructuredOutput};
use fleetline_worker::kinds::Kinds;
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::context;
use crate::openai::{client, config, log_args, node_args, perform};

/// What a kind says before the call, and what the messages and schema of the call count.
async fn said_and_sent(config: OpenAiConfig, stub: &OpenAiStub, kind: &str) -> (Estimate, u64) {
    let chat: Arc<ChatClient> = client(config.clone());
    let kinds = Kinds::all(Some(&chat), KindPolicy::default());
    let said = match kind {
        "node.extract" => appraise_and_perform(&kinds, kind, &node_args(&kinds)).await,
        _ => appraise_and_perform(&kinds, kind, &log_args(&kinds)).await,
    };
    let body = stub.calls().pop().expect("a call").body;
    let encoding = tiktoken::encoding_for_model(&config.model);
    let count = |text: &str| encoding.map_or(text.len().div_ceil(4), |encoding| encoding.count(text)) as u64;
    let messages = body["messages"].as_array().expect("messages").iter();
    let of_messages: u64 = messages
        .map(|message| {
            let text = |key: &str| message[key].as_str().expect("text");
            3 + count(text("role")) + count(text("content"))
        })
        .sum();
    let schema = &body["response_format"]["json_schema"];
    let of_schema = match schema["name"].as_str() {
        Some(name) => count(name) + count(&schema["schema"].to_string()),
        None => 0,
    };
    (said, of_messages + 3 + of_schema)
}

async fn appraise_and_perform(kinds: &Kinds, kind: &str, args: &impl Serialize) -> Estimate {
    let json = to_raw_value(args).expect("plain JSON");
    let appraisal = kinds.registry().get(kind).expect("registered").appraise(&json).expect("good args");
    perform(kinds, kind, args, &context()).await.expect("an answer");
    appraisal.estimate
}

#[tokio::test]
async fn an_estimate_is_what_is_sent() {
    let stub = OpenAiStub::start();
    for model in ["gpt-4o-mini", "gpt-4-turbo", "llama3.2"] {
        for structured_output in [StructuredOutput::JsonSchema, StructuredOutput::None] {
            for (kind, answer) in [("node.extract", 1_000), ("log.analyze", 300)] {
                let config = OpenAiConfig {
                    model: model.into(),
                    structured_output,
                    max_output_tokens: 1_000,
                    ..config(&stub)
                };
                let (said, sent) = said_and_sent(config, &stub, kind).await;
                let what = format!("{model} {structured_output:?} {kind}");
                assert_eq!(said.input_tokens, sent, "{what}");
                assert_eq!(said.output_tokens, answer, "{what}: never more than an answer may have");
            }
        }
    }
}
