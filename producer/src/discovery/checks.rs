//! Rules of XML 1.0 that the parser leaves to its user.

/// The first character that XML 1.0 forbids, with its byte offset.
pub(super) fn forbidden_char(text: &str) -> Option<(usize, char)> {
    // Control characters are below 0x20; U+FFFE and U+FFFF start with byte 0xEF.
    let suspicious = |byte: &u8| (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0xEF;
    if !text.as_bytes().iter().any(suspicious) {
        return None;
    }
    text.char_indices().find(|(_, char)| !is_xml_char(*char))
}

/// Whether XML 1.0 allows the character, written out or as a reference.
pub(super) fn is_xml_char(char: char) -> bool {
    match char {
        '\t' | '\n' | '\r' => true,
        _ => char >= ' ' && !matches!(char, '\u{FFFE}' | '\u{FFFF}'),
    }
}

/// Whether `name` is a name without colon.
pub(super) fn is_nc_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

fn is_name_start(char: char) -> bool {
    matches!(char,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

fn is_name_char(char: char) -> bool {
    is_name_start(char)
        || matches!(char,
            '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether the text is white space in the sense of XML.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_forbidden_character() {
        assert_eq!(forbidden_char("plain\ttext\r\n, ä€𝄞\u{FFFD}"), None);
        assert_eq!(forbidden_char("ä\u{1}"), Some((2, '\u{1}')));
        assert_eq!(forbidden_char("ab\u{FFFF}c"), Some((2, '\u{FFFF}')));
    }

    #[test]
    fn knows_names() {
        for good in ["a", "_a", "Größe", "a-b.c1", "數"] {
            assert!(is_nc_name(good), "{good}");
        }
        for bad in ["", "1a", "-a", "a b", "a:b", "a\"b", "a="] {
            assert!(!is_nc_name(bad), "{bad}");
        }
    }
}
