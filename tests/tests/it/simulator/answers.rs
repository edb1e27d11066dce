//! What the simulator answers, held against OpenAI's published interface and our own analysers.

use fleetline_tests::openai_spec::ResponseCheck;
use serde_json::{Value, json};

use super::{Running, chat, said};
use crate::cli::harness::{Place, distinct, sample};

#[tokio::test]
async fn answers_follow_the_published_interface() {
    let simulator = Running::start(|_| ()).await;
    let answer = said(simulator.chatted().await).await;
    if let Some(check) = ResponseCheck::load("CreateChatCompletionResponse") {
        assert_eq!(check.problems(&answer), Vec::<String>::new());
    }
    let content = answer["choices"][0]["message"]["content"].as_str().expect("a text");
    assert!(content.contains("How much is the fish?"), "{content}");

    let input = json!({ "model": "text-embedding-3-small", "input": ["one", "two", "one"] });
    let answer = said(simulator.post("/v1/embeddings", &input).send().await.expect("an answer")).await;
    if let Some(check) = ResponseCheck::load("CreateEmbeddingResponse") {
        assert_eq!(check.problems(&answer), Vec::<String>::new());
    }
    let vector = |place: usize| answer["data"][place]["embedding"].as_array().expect("a vector").clone();
    assert_eq!(vector(0).len(), 1_536);
    assert!(vector(0) == vector(2) && vector(0) != vector(1), "equal texts have equal vectors");
    let length: f64 = vector(0).iter().filter_map(Value::as_f64).map(|number| number * number).sum();
    assert!((length - 1.0).abs() < 1e-3, "{length}");
}

#[tokio::test]
async fn embeddings_come_as_the_client_likes_them() {
    let simulator = Running::start(|_| ()).await;
    let input = json!({ "model": "m", "input": [1, 2, 3], "dimensions": 2, "encoding_format": "base64" });
    let answer = said(simulator.post("/v1/embeddings", &input).send().await.expect("an answer")).await;
    let text = answer["data"][0]["embedding"].as_str().expect("a text");
    assert_eq!(text.len(), 12, "two floats are eight bytes: {text}");
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn choices_and_limits_of_tokens_are_kept() {
    let simulator = Running::start(|_| ()).await;
    let mut request = chat();
    request["n"] = 2.into();
    request["max_completion_tokens"] = 3.into();
    let answer =
        said(simulator.post("/v1/chat/completions", &request).send().await.expect("an answer")).await;
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 6);
}

#[tokio::test]
async fn any_json_comes_back() {
    let simulator = Running::start(|_| ()).await;
    let answer =
        said(simulator.post("/v1/echo", &json!({ "a": [1] })).send().await.expect("an answer")).await;
    assert_eq!(answer, json!({ "call": 1, "echo": { "a": [1] } }));
}

#[tokio::test]
async fn what_is_wrong_is_said_as_openai_says_it() {
    let simulator = Running::start(|_| ()).await;
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": [] });
    let form = |form: Value| json!({ "response_format": form });
    let strict = |schema: &Value| {
        form(
            json!({ "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": schema } }),
        )
    };
    let mut open = schema.clone();
    open["additionalProperties"] = false.into();
    for (change, part) in [
        (json!({ "model": null }), "must provide a model"),
        (json!({ "messages": [] }), "empty array"),
        (json!({ "messages": "hello" }), "an array of objects"),
        (json!({ "messages": [{ "role": "boss", "content": "x" }] }), "messages.role"),
        (json!({ "messages": [{ "role": "user" }] }), "content that is"),
        (json!({ "temprature": 1 }), "Unrecognized request argument supplied: temprature"),
        (json!({ "temperature": 3 }), "from 0 to 2"),
        (json!({ "max_tokens": 0 }), "expected a value from 1"),
        (json!({ "max_tokens": 1, "max_completion_tokens": 1 }), "at the same time"),
        (json!({ "n": "two" }), "an integer"),
        (json!({ "stream": true }), "does not stream"),
        (form(json!({ "type": "json_object" })), "the word 'json'"),
        (form(json!({ "type": "xml" })), "response_format.type"),
        (form(json!({ "type": "json_schema", "json_schema": { "name": "no blanks" } })), "json_schema.name"),
        (strict(&schema), "'additionalProperties' is required"),
        (strict(&open), "Missing 'a'"),
    ] {
        let mut request = chat();
        request.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let answer = simulator.post("/v1/chat/completions", &request).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{change}");
        let error = said(answer).await["error"].clone();
        assert_eq!(error["type"], "invalid_request_error", "{change}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains(part)), "{change}: {error}");
    }
    for (input, part) in [
        (json!({}), "Missing required parameter: 'input'"),
        (json!({ "input": "" }), "none of them empty"),
        (json!({ "input": "x".repeat(40_000) }), "maximum context length is 8192"),
        (json!({ "input": vec!["x"; 2_049] }), "at most 2048 inputs"),
        (json!({ "input": vec!["x".repeat(20_000); 61] }), "at most 300000 tokens"),
        (json!({ "input": "x", "dimensions": 0 }), "expected a value from 1"),
    ] {
        let mut request = json!({ "model": "m" });
        request.as_object_mut().expect("an object").extend(input.as_object().expect("an object").clone());
        let answer = simulator.post("/v1/embeddings", &request).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{part}");
        let error = said(answer).await["error"].clone();
        assert!(error["message"].as_str().is_some_and(|said| said.contains(part)), "{part}: {error}");
    }
    let summary = simulator.summary().await;
    assert_eq!(summary["verdicts"], json!({ "invalid": 22 }));
    let nowhere = simulator.post("/v1/completions", &json!({})).send().await.expect("an answer");
    assert_eq!(nowhere.status(), 404);
    assert_eq!(said(nowhere).await["error"]["code"], "unknown_url");
}

/// With and without schemas in the request, our analysers take its answers for good ones.
#[tokio::test(flavor = "multi_thread")]
async fn our_analysers_are_content() {
    let simulator = Running::start(|_| ()).await;
    for structured in ["true", "false"] {
        for file in [sample("airline-order.xml"), sample("service.log")] {
            let place = Place::new()
                .env("OPENAI_BASE_URL", &format!("{}/v1", simulator.url))
                .env("OPENAI_API_KEY", "sk-very-secret")
                .env("FLEETLINE_OPENAI__STRUCTURED_OUTPUT", structured);
            let before = simulator.summary().await["calls"].as_u64().expect("a number");
            place.run(&["run", &file, "--out", "rows.jsonl"]).exits(0);
            let rows = place.rows("rows.jsonl");
            let calls = simulator.summary().await["calls"].as_u64().expect("a number") - before;
            assert_eq!(calls, distinct(&rows, "dedup_key") as u64, "each is asked once");
        }
    }
    let ledger = simulator.ledger().await;
    assert!(ledger.iter().all(|call| call["verdict"] == "served" && call["model"] == "gpt-4o-mini"));
}
