//! Text from outside, made short.

/// The text, cut to at most `most` characters; one that was cut ends with an ellipsis.
pub(crate) fn capped(text: &str, most: usize) -> String {
    if text.char_indices().nth(most).is_none() {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let end = text.char_indices().nth(kept).map_or(text.len(), |(end, _)| end);
    format!("{}…", text[..end].trim_end())
}

/// The text with every run of white space and control characters as one space.
pub(crate) fn one_line(text: &str) -> String {
    let blank = |char: char| char.is_whitespace() || char.is_control();
    text.split(blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_characters() {
        for (text, most, expected) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöüß", 3, "äö…"),
            ("日本語テキスト", 4, "日本語…"),
            ("ab cd", 4, "ab…"),
            ("abc", 0, "…"),
        ] {
            assert_eq!(capped(text, most), expected, "{text} to {most}");
        }
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("  a\r\n\t b\u{0}c \u{a0}d "), "a b c d");
    }
}
