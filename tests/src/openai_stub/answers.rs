//! Answers that follow the schemas, made from the question alone.

use serde_json::{Value, json};

/// The content of a good answer.
pub(super) fn content(request: &Value) -> String {
    let user = message(request, 1);
    let answer = if is_about_xml(request) { node(user) } else { log(user) };
    answer.to_string()
}

/// A whole response around a content.
pub(super) fn completion(request: &Value, content: &str, finish: &str, refusal: Option<&str>) -> Value {
    let tokens = |text: &str| text.len() / 4 + 1;
    let input = tokens(message(request, 0)) + tokens(message(request, 1));
    let output = tokens(content);
    let shown = if refusal.is_some() { Value::Null } else { content.into() };
    json!({
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request["model"],
        "choices": [{
            "index": 0,
            "finish_reason": finish,
            "logprobs": null,
            "message": { "role": "assistant", "content": shown, "refusal": refusal },
        }],
        "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output },
    })
}

fn message(request: &Value, place: usize) -> &str {
    request["messages"][place]["content"].as_str().unwrap_or_default()
}

fn is_about_xml(request: &Value) -> bool {
    match request["response_format"]["json_schema"]["name"].as_str() {
        Some(name) => name == "node_extract",
        None => message(request, 0).contains("XML document"),
    }
}

/// One fact for each line `- path (Name)`.
fn node(user: &str) -> Value {
    let listed = user.lines().skip_while(|line| *line != "Elements:").skip(1);
    let listed = listed.map_while(|line| line.strip_prefix("- ")?.strip_suffix(')')?.rsplit_once(" ("));
    let fact = |(path, name): (&str, &str)| {
        json!({
            "path": path,
            "attributes": [{ "name": "@path", "value": path, "type": "text", "unit": null }],
            "references": [],
            "quality": { "status": "complete", "missing": [] },
            "summary": format!("{name} at {path}, as the stub sees it"),
            "confidence": 0.5,
        })
    };
    json!({ "facts": listed.map(fact).collect::<Vec<_>>() })
}

fn log(user: &str) -> Value {
    let said = user.lines().find_map(|line| line.strip_prefix("message: ")).unwrap_or_default();
    let is_error = user.contains("level: ERROR") || user.contains("level: FATAL");
    json!({
        "error_type": "seen-by-stub",
        "severity": if is_error { "high" } else { "low" },
        "create_ticket": is_error,
        "title": said.chars().take(100).collect::<String>(),
        "description": format!("The stub was sent {} characters.", user.chars().count()),
        "confidence": 0.5,
    })
}
