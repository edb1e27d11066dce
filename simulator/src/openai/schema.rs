//! Values that follow a JSON schema.

use serde_json::{Value, json};

/// Schemas that refer to themselves end here.
const DEEPEST: usize = 24;

/// A value that follows the schema. Where the schema asks for `facts` and the question lists elements
/// (`- path (Name)` below a line `Elements:`), there is one fact for each, as `node.extract` wants it.
pub(super) fn example(schema: &Value, question: &str) -> Value {
    let mut example = value(schema, schema, "value", 0);
    let paths: Vec<&str> = listed(question).collect();
    if let Some(facts) = example.get_mut("facts").filter(|_| !paths.is_empty()) {
        let template = facts.get(0).cloned().unwrap_or_else(|| json!({}));
        let fact = |path| {
            let mut fact = template.clone();
            fact["path"] = Value::String(path);
            fact
        };
        *facts = paths.into_iter().map(|path| fact(path.to_owned())).collect();
    }
    example
}

fn listed(question: &str) -> impl Iterator<Item = &str> {
    let lines = question.lines().skip_while(|line| *line != "Elements:").skip(1);
    lines
        .map_while(|line| line.strip_prefix("- ")?.strip_suffix(')')?.rsplit_once(" ("))
        .map(|(path, _)| path)
}

fn value(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
        return value.clone();
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| value(target, root, name, depth + 1));
    }
    let choice = ["anyOf", "oneOf", "allOf"].iter().find_map(|of| schema.get(of)?.get(0));
    if let Some(choice) = choice {
        return value(choice, root, name, depth + 1);
    }
    let sort = schema
        .get("type")
        .map_or("object", |sort| sort.as_str().or_else(|| sort.get(0)?.as_str()).unwrap_or_default());
    match sort {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let member =
                |(name, schema): (&String, &Value)| (name.clone(), value(schema, root, name, depth + 1));
            Value::Object(properties.into_iter().flatten().map(member).collect())
        }
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
            let items = schema.get("items").unwrap_or(&Value::Null);
            (0..least).map(|_| value(items, root, name, depth + 1)).collect()
        }
        "string" => string(schema, name),
        "integer" => whole(schema),
        "number" => number(schema),
        "boolean" => Value::Bool(false),
        _ => Value::Null,
    }
}

fn string(schema: &Value, name: &str) -> Value {
    let size =
        |limit: &str| schema.get(limit).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let mut text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
        Some("date") => "2026-01-01".to_owned(),
        Some("time") => "00:00:00Z".to_owned(),
        Some("email") => "someone@example.com".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => format!("simulated {name}"),
    };
    while text.chars().count() < size("minLength").unwrap_or_default() {
        text.push('.');
    }
    Value::String(text.chars().take(size("maxLength").unwrap_or(usize::MAX)).collect())
}

fn whole(schema: &Value) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 1));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")? - 1));
    Value::from(1.clamp(least.unwrap_or(i64::MIN), most.unwrap_or(i64::MAX).max(least.unwrap_or(i64::MIN))))
}

fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => json!(f64::midpoint(least, most)),
        (Some(least), None) => json!(least.max(0.5)),
        (None, Some(most)) => json!(most.min(0.5)),
        (None, None) => json!(0.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_have_what_the_schema_asks_for() {
        let schema = json!({
            "type": "object",
            "properties": {
                "sort": { "type": "string", "enum": ["low", "high"] },
                "unit": { "type": ["string", "null"] },
                "share": { "type": "number", "minimum": 0, "maximum": 1 },
                "count": { "type": "integer", "minimum": 3 },
                "tags": { "type": "array", "items": { "type": "string" }, "minItems": 2 },
                "other": { "anyOf": [{ "$ref": "#/$defs/thing" }, { "type": "null" }] },
            },
            "$defs": { "thing": { "type": "object", "properties": { "me": { "$ref": "#/$defs/thing" } } } },
        });
        let example = example(&schema, "");
        assert_eq!(example["sort"], "low");
        assert_eq!(example["unit"], "simulated unit");
        assert_eq!(example["share"], 0.5);
        assert_eq!(example["count"], 3);
        assert_eq!(example["tags"], json!(["simulated tags", "simulated tags"]));
        assert!(example["other"].is_object());
    }

    #[test]
    fn every_listed_element_has_its_fact() {
        let fact = json!({ "type": "object", "properties": { "path": { "type": "string" } } });
        let schema =
            json!({ "type": "object", "properties": { "facts": { "type": "array", "items": fact } } });
        let question = "Elements:\n- . (Order)\n- Item[1] (Item)\n\nBEGIN XML\n- not/this (One)";
        assert_eq!(example(&schema, question), json!({ "facts": [{ "path": "." }, { "path": "Item[1]" }] }));
    }
}
