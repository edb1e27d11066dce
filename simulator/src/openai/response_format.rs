//! The form that an answer is asked to have.

use serde_json::Value;

use super::Refusal;

/// Stands before a schema in the prompts of clients whose servers know no schemas.
const PROMPTED: &str = "JSON schema:\n";

/// The form that an answer is asked to have.
pub(super) struct Format<'a> {
    /// By `json_schema`.
    pub(super) schema: Option<&'a Value>,
    /// In words.
    pub(super) prompted: Option<Value>,
    pub(super) is_json: bool,
}

/// Checks `response_format` as OpenAI does.
pub(super) fn read<'a>(
    format: Option<&'a Value>,
    messages: &[(&str, String)],
) -> Result<Format<'a>, Refusal> {
    let prompted =
        || messages.iter().find_map(|(_, text)| serde_json::from_str(text.split_once(PROMPTED)?.1).ok());
    let sort = match format {
        None | Some(Value::Null) => "text",
        Some(format) => format.get("type").and_then(Value::as_str).unwrap_or_default(),
    };
    match sort {
        "text" => Ok(Format { schema: None, prompted: prompted(), is_json: false }),
        "json_object" => {
            if !messages.iter().any(|(_, text)| text.to_lowercase().contains("json")) {
                return refuse(
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
                     'json_object'.",
                );
            }
            Ok(Format { schema: None, prompted: prompted(), is_json: true })
        }
        "json_schema" => {
            let described = format.and_then(|format| format.get("json_schema"));
            Ok(Format { schema: Some(schema(described)?), prompted: None, is_json: true })
        }
        _ => refuse("Invalid value for 'response_format.type': expected text, json_object or json_schema."),
    }
}

fn schema(described: Option<&Value>) -> Result<&Value, Refusal> {
    let Some(described) = described else { return Err(Refusal::missing("response_format.json_schema")) };
    let name = described.get("name").and_then(Value::as_str).unwrap_or_default();
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        return refuse(
            "Invalid 'response_format.json_schema.name': expected 1 to 64 of a-z, A-Z, 0-9, _ and -.",
        );
    }
    let Some(schema) = described.get("schema").filter(|schema| schema.is_object()) else {
        return Err(Refusal::missing("response_format.json_schema.schema"));
    };
    if described.get("strict") == Some(&Value::Bool(true)) {
        strict(schema).map_err(|problem| {
            let message = format!("Invalid schema for response_format '{name}': {problem}");
            Refusal::invalid(message, Some("response_format"))
        })?;
    }
    Ok(schema)
}

/// In strict schemas objects have the named properties, all of them and no others.
fn strict(schema: &Value) -> Result<(), String> {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err("'additionalProperties' is required to be supplied and to be false.".to_owned());
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        if let Some(name) = properties.keys().find(|name| !is_required(name)) {
            return Err(format!("'required' must include every key in properties. Missing '{name}'."));
        }
    }
    match schema {
        Value::Object(parts) => parts.values().try_for_each(strict),
        Value::Array(parts) => parts.iter().try_for_each(strict),
        _ => Ok(()),
    }
}

fn refuse<T>(message: &str) -> Result<T, Refusal> {
    Err(Refusal::invalid(message.to_owned(), Some("response_format")))
}
