//! OpenAI's published interface, against which requests are checked.

use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The folder with data and specs for tests: `$FLEETLINE_SHARED`, or `../shared` beside the repository.
/// `None`, with a word on stderr, if it is not there.
pub fn shared_folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let folder = std::env::var_os("FLEETLINE_SHARED").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no folder {}; set FLEETLINE_SHARED", folder.display());
    None
}

/// The published interface.
fn spec() -> Option<Value> {
    let path = shared_folder()?.join("specs/openai.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).expect("the interface is JSON"))
}

/// Checks requests for chat completions.
pub struct RequestCheck {
    validator: Validator,
}

impl RequestCheck {
    /// From the published interface; `None` if it is not at hand.
    pub fn load() -> Option<Self> {
        let spec = spec()?;
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/components/schemas/CreateChatCompletionRequest",
            // The interface does not say so, but an unknown field is a mistake.
            "unevaluatedProperties": false,
            "components": spec["components"],
        });
        Some(Self { validator: jsonschema::validator_for(&schema).expect("the interface is a schema") })
    }

    /// What is wrong with a request; empty if nothing is.
    pub fn problems(&self, request: &Value) -> Vec<String> {
        let problem = |error: jsonschema::ValidationError| format!("{}: {error}", error.instance_path());
        self.validator.iter_errors(request).map(problem).collect()
    }
}

/// Checks answers of one sort.
pub struct ResponseCheck {
    validator: Validator,
}

impl ResponseCheck {
    /// From the published interface's schema of this name; `None` if it is not at hand.
    pub fn load(schema: &str) -> Option<Self> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/components/schemas/{schema}"),
            "components": spec()?["components"],
        });
        Some(Self { validator: jsonschema::validator_for(&schema).expect("the interface is a schema") })
    }

    /// What is wrong with an answer; empty if nothing is.
    pub fn problems(&self, answer: &Value) -> Vec<String> {
        let problem = |error: jsonschema::ValidationError| format!("{}: {error}", error.instance_path());
        self.validator.iter_errors(answer).map(problem).collect()
    }
}

/// What breaks OpenAI's rules for schemas with `strict: true`: each object lists all its properties
/// as required and allows no others; only some keywords are known.
pub fn strict_schema_problems(schema: &Value) -> Vec<String> {
    const KNOWN: [&str; 7] =
        ["type", "description", "enum", "items", "properties", "required", "additionalProperties"];
    let Some(object) = schema.as_object() else { return vec![format!("no schema: {schema}")] };
    let mut problems: Vec<String> = object
        .keys()
        .filter(|key| !KNOWN.contains(&key.as_str()))
        .map(|key| format!("keyword {key}"))
        .collect();
    if schema["type"] == "object" {
        let properties = schema["properties"].as_object().expect("an object has properties");
        let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let required = schema["required"].as_array().expect("an object has required ones");
        let mut required: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        required.sort_unstable();
        if names != required {
            problems.push(format!("required {required:?} of {names:?}"));
        }
        if schema["additionalProperties"] != json!(false) {
            problems.push(format!("additional properties beside {names:?}"));
        }
        problems.extend(properties.values().flat_map(strict_schema_problems));
    }
    problems.extend(object.get("items").map(strict_schema_problems).unwrap_or_default());
    problems
}
