//! `key=value`: the key stays, the value goes, unless it is what went wrong.

use super::Scanner;
use super::codes::Expect;
use super::out::mark;

/// Keys end so whose values say what happened. Those are read like the rest of the message.
const TELLING: [&str; 14] = [
    "error",
    "err",
    "exception",
    "reason",
    "cause",
    "message",
    "msg",
    "status",
    "state",
    "code",
    "level",
    "severity",
    "signal",
    "errno",
];
/// A bracketed value longer than this is no value.
const LONGEST_GROUP: usize = 4096;

/// Whether a key's value says what happened.
pub(super) fn is_telling(key: &str) -> bool {
    TELLING.iter().any(|end| {
        let from = key.len().checked_sub(end.len());
        from.and_then(|from| key.get(from..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    })
}

impl Scanner<'_> {
    /// At `=`. Tight on its left it is a field; with spaces around it belongs to a sentence.
    pub(super) fn equals(&mut self, end: usize) {
        let key = key_before(self.out.text());
        if key.is_empty() || self.byte(self.at + 1) == b'=' {
            let run = self.text[self.at..end].bytes().take_while(|byte| *byte == b'=').count();
            self.out.literal(&self.text[self.at..self.at + run]);
            self.at += run;
            return;
        }
        let telling = is_telling(key);
        self.at += 1;
        self.out.literal("=");
        self.reveal = telling;
        if !telling {
            self.expect = Expect::Nothing;
            self.out.literal(mark::VALUE);
            self.at = self.value_end(end);
        }
    }

    fn value_end(&self, end: usize) -> usize {
        let bytes = &self.text.as_bytes()[..end];
        let mut at = self.at;
        if let Some(quote @ (b'"' | b'\'' | b'`')) = bytes.get(at)
            && let Some(close) = self.closing_quote(*quote, at + 1, end)
        {
            return close + 1;
        }
        let is_url =
            self.text[at..end].split_ascii_whitespace().next().is_some_and(|word| word.contains("://"));
        while let Some(byte) = bytes.get(at) {
            at = match byte {
                b'(' | b'[' | b'{' | b'<' => group_end(bytes, at).unwrap_or(at + 1),
                b',' | b';' | b'|' if is_url => at + 1,
                b',' | b';' | b'|' | b')' | b']' | b'}' | b'>' | b'"' => break,
                byte if byte.is_ascii_whitespace() => break,
                _ => at + 1,
            };
        }
        let sentence = bytes[self.at..at].iter().rev().take_while(|byte| matches!(byte, b'.' | b':')).count();
        at - sentence
    }
}

/// The identifier that a text ends with.
fn key_before(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '>' | '<' | ']' | '@');
    let start = text
        .rfind(|c: char| !is_part(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let key = &text[start..];
    if key.ends_with(['-', '<', '.']) || key == ">" { "" } else { key }
}

/// Where the bracket that opens at `at` closes.
fn group_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate().skip(at).take(LONGEST_GROUP) {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}
