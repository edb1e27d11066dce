//! What a server says is wrong, in short.

use serde_json::Value;

use crate::analysers::{capped, one_line};

/// Characters of the server's own words: at most 2 KB of ASCII.
const MAX_WORDS: usize = 2_000;

/// What the server said.
pub(crate) struct Said {
    /// For people, on one line; never empty.
    pub(crate) message: String,
    /// For programs; often empty.
    pub(crate) code: String,
}

/// OpenAI's `{"error": {"message", "code", "type"}}`, Ollama's `{"error": "..."}`, Jira's
/// `{"errorMessages": ["..."], "errors": {...}}`, Datadog's `{"errors": ["..."]}`, others'
/// `{"detail": ...}` or `{"message": ...}`, or any text.
pub(crate) fn said(body: &[u8]) -> Said {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = parsed.get("error").unwrap_or(&parsed);
    let message = ["message", "detail", "errorMessages", "errors"]
        .iter()
        .find_map(|key| error.get(key).filter(|value| !is_empty(value)).map(text))
        .or_else(|| error.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let code = ["code", "type"].iter().filter_map(|key| error.get(key)?.as_str());
    let message = match one_line(&message) {
        empty if empty.is_empty() => "the server did not say why".to_owned(),
        message => capped(&message, MAX_WORDS),
    };
    Said { message, code: capped(&code.collect::<Vec<_>>().join(" "), MAX_WORDS) }
}

/// A text as it is, a list of texts as one, anything else as JSON.
fn text(value: &Value) -> String {
    let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    match (value.as_str(), texts) {
        (Some(text), _) => text.to_owned(),
        (None, Some(texts)) => texts.join("; "),
        (None, None) => value.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_body_gives_short_words() {
        let long = "x".repeat(100_000);
        for (body, expected) in [
            (r#"{"error": "model not found"}"#, "model not found"),
            (r#"{"error": {"message": "m", "code": "c"}}"#, "m"),
            (r#"{"detail": [{"loc": 1}]}"#, r#"[{"loc":1}]"#),
            (r#"{"message": "m"}"#, "m"),
            (r#"{"errorMessages": ["a", "b"], "errors": {}}"#, "a; b"),
            (
                r#"{"errorMessages": [], "errors": {"summary": "is required"}}"#,
                r#"{"summary":"is required"}"#,
            ),
            (r#"{"errors": ["Forbidden"]}"#, "Forbidden"),
            ("<html>\n<b>Bad Gateway</b>", "<html> <b>Bad Gateway</b>"),
            ("", "the server did not say why"),
        ] {
            assert_eq!(said(body.as_bytes()).message, expected, "{body}");
        }
        let said = said(long.as_bytes());
        assert!(said.message.starts_with("xxx") && said.message.len() < 2_100);
    }
}
