//! `level=info msg="it broke" key=value` lines.

use serde_json::{Map, Value};

/// The line's pairs, if it is such a line: it starts with a pair, and one of them is a message.
pub(super) fn read(line: &str) -> Option<Map<String, Value>> {
    let first = line.split(' ').next()?;
    let (key, _) = first.split_once('=')?;
    if !is_key(key) || !(line.contains("msg=") || line.contains("message=")) {
        return None;
    }
    let mut pairs = Map::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        if !is_key(key) {
            return None;
        }
        let (value, behind) = value(after)?;
        pairs.insert(key.to_owned(), Value::String(value));
        rest = behind.trim_start();
    }
    Some(pairs)
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@'))
}

fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_with_their_quotes() {
        let pairs = read(r#"time=2024 level=error msg="it \"broke\"\nhere" err= n=5"#).unwrap();
        assert_eq!(pairs["msg"], "it \"broke\"\nhere");
        assert_eq!((&pairs["level"], &pairs["err"], &pairs["n"]), (&"error".into(), &"".into(), &"5".into()));
    }

    #[test]
    fn other_lines_are_not() {
        for line in ["", "a=1 b=2", "it broke msg=x", "a=1 msg=\"open", "a=1 msg=x and more", "=x msg=y"] {
            assert!(read(line).is_none(), "{line}");
        }
    }
}
