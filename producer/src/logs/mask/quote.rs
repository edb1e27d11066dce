//! What stands between quotes: a value, a sentence, a key of JSON, or an HTTP request.

use super::codes::Expect;
use super::out::mark;
use super::{Scanner, value};

/// A quote that does not close within this many bytes is a mark on its own.
const LONGEST: usize = 2000;
/// A quoted text with this many spaces is a sentence, not a value.
const SENTENCE: usize = 3;

impl Scanner<'_> {
    /// At a quote mark.
    pub(super) fn quote(&mut self, end: usize) {
        let start = self.at;
        let mark = self.byte(start);
        let inside_word = start > 0 && self.byte(start - 1).is_ascii_alphanumeric();
        let close = if inside_word { None } else { self.closing_quote(mark, start + 1, end) };
        let Some(close) = close else {
            self.out.literal(&self.text[start..=start]);
            self.at += 1;
            return;
        };
        let content = &self.text[start + 1..close];
        let reveal = std::mem::take(&mut self.reveal);
        if self.out.in_braces() && self.text[close + 1..end].trim_ascii_start().starts_with(':') {
            self.key(content, close);
        } else if is_request(content) {
            self.inside(start, close);
            self.after_request = true;
            self.expect = Expect::Status;
        } else if !self.after_request && (reveal || is_sentence(content)) {
            self.inside(start, close);
        } else {
            let item = self.out.text().len();
            self.out.literal(mark::QUOTED);
            self.out.item(item);
            self.at = close + 1;
        }
    }

    /// A key of JSON stays.
    fn key(&mut self, key: &str, close: usize) {
        self.out.literal(key);
        self.expect = Expect::Nothing.after(key);
        self.reveal = value::is_telling(key);
        self.at = close + 1;
    }

    /// A quoted text that is masked like the rest.
    fn inside(&mut self, start: usize, close: usize) {
        self.out.literal(&self.text[start..=start]);
        self.at = start + 1;
        self.run(close);
        self.out.literal(&self.text[close..=close]);
        self.at = close + 1;
    }

    /// Where the quote that opened before `from` closes: not escaped, not inside a word.
    pub(super) fn closing_quote(&self, mark: u8, from: usize, end: usize) -> Option<usize> {
        let bytes = &self.text.as_bytes()[..end];
        let mut at = from;
        while let Some(byte) = bytes.get(at)
            && at - from < LONGEST
        {
            match byte {
                b'\\' => at += 1,
                b'\n' if mark != b'"' => return None,
                byte if *byte == mark && !self.byte(at + 1).is_ascii_alphanumeric() => return Some(at),
                _ => {}
            }
            at += 1;
        }
        None
    }
}

fn is_sentence(content: &str) -> bool {
    content.bytes().filter(|byte| *byte == b' ').take(SENTENCE).count() == SENTENCE
}

/// `GET /path HTTP/1.1`, as access logs quote it.
fn is_request(content: &str) -> bool {
    let Some((method, target)) = content.split_once(' ') else { return false };
    !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && (target.starts_with(['/', '*']) || target.starts_with("http"))
}
