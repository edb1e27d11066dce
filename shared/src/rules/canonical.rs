//! JSON texts that mean the same, made the same.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::value::RawValue;

/// JSON nested deeper than this has no canonical text. As deep as `serde_json` reads typed values.
const MAX_DEPTH: usize = 128;

/// The text without blanks, keys sorted, strings escaped in one way. Numbers stay as written, so
/// that large ones lose no digit: `1` and `1.0` differ. Of a repeated key the last value counts.
///
/// The error names what is wrong, for people.
pub fn canonical_json(json: &RawValue) -> Result<String, String> {
    let mut text = String::with_capacity(json.get().len());
    write_value(json.get(), 0, &mut text).map(|()| text)
}

fn write_value(json: &str, depth: usize, out: &mut String) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    let words = |error: serde_json::Error| error.to_string();
    match json.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).map_err(words)?;
            write_list('{', '}', fields, out, |(name, value), out| {
                let _ = write!(out, "{}:", serde_json::Value::String(name));
                write_value(value.get(), depth + 1, out)
            })
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(words)?;
            write_list('[', ']', items, out, |item, out| write_value(item.get(), depth + 1, out))
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(words)?;
            let _ = write!(out, "{}", serde_json::Value::String(text));
            Ok(())
        }
        _ => {
            out.push_str(json);
            Ok(())
        }
    }
}

fn write_list<T>(
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut write_item: impl FnMut(T, &mut String) -> Result<(), String>,
) -> Result<(), String> {
    out.push(open);
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_item(item, out)?;
    }
    out.push(close);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, String> {
        canonical_json(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn order_of_keys_blanks_and_escapes_do_not_count() {
        let expected = Ok(r#"{"a":[1,{"x":null,"y":"é"}],"b":true}"#.to_owned());
        for same in [
            r#"{"a":[1,{"x":null,"y":"é"}],"b":true}"#,
            "{ \"b\" : true,\n \"a\": [1, {\"y\": \"\\u00e9\", \"x\": null}] }",
            r#"{"b":false,"a":[1,{"y":"é","x":null}],"b":true}"#,
        ] {
            assert_eq!(canonical(same), expected, "{same}");
        }
    }

    #[test]
    fn order_of_items_and_every_digit_count() {
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical("18446744073709551616"), canonical("18446744073709551617"));
        assert_ne!(canonical(r#""1""#), canonical("1"));
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error_and_no_overflow() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(canonical(&nested(MAX_DEPTH)).is_ok());
        assert!(canonical(&nested(100_000)).unwrap_err().contains("deeper"));
    }
}
