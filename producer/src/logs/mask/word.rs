//! One word: literal, or masked by its shape.

use super::codes::Expect;
use super::number::{is_colon_address, is_unit};
use super::out::mark;
use super::{Scanner, value};
use crate::logs::time;

/// Words that are values wherever they follow a key.
pub(super) const LITERALS: [&str; 5] = ["true", "false", "null", "nil", "none"];

impl<'a> Scanner<'a> {
    /// At the first byte of a word.
    pub(super) fn word(&mut self, end: usize) {
        let start = self.at;
        let stop = self.word_end(start, end);
        let word = &self.text[start..stop];
        let (offset, core) = trim(word);
        let from = start + offset;
        self.out.literal(&self.text[start..from]);
        self.at = stop;
        if core.is_empty() {
            self.out.literal(&self.text[from..stop]);
            return;
        }
        let item = self.out.text().len();
        if self.time(from, end) {
            self.out.item(item);
            return;
        }
        let masked = self.core(core, stop, end);
        if masked {
            self.out.item(item);
        }
        self.out.literal(&self.text[from + core.len()..stop]);
        self.expect = if core.starts_with("HTTP/") { Expect::Status } else { self.expect.after(core) };
        self.previous = [core, self.previous[0]];
    }

    /// Where the word ends. URLs, and paths with a query, hold marks that end other words.
    fn word_end(&self, start: usize, end: usize) -> usize {
        let bytes = &self.text.as_bytes()[..end];
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            let stops = match byte {
                b'"' | b'`' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'|'
                | b'=' | b'&' => true,
                b'\'' => {
                    !(at > start
                        && self.byte(at - 1).is_ascii_alphanumeric()
                        && self.byte(at + 1).is_ascii_alphanumeric())
                }
                byte => byte.is_ascii_whitespace() || byte.is_ascii_control(),
            };
            if stops {
                break;
            }
            at += 1;
        }
        let at = at.max(start + 1);
        let word = &self.text[start..at];
        let query = word.starts_with('/') && matches!(bytes.get(at), Some(b'=' | b'&'));
        if !query && !is_url(word) {
            return at;
        }
        let stops = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'}')
        };
        bytes[at..].iter().position(stops).map_or(end, |more| at + more)
    }

    /// A time: its words may reach beyond this one.
    fn time(&mut self, from: usize, end: usize) -> bool {
        let bytes = self.text.as_bytes();
        let first = self.byte(from);
        let calendar =
            first.is_ascii_uppercase() && bytes.get(from..from + 3).is_some_and(time::is_calendar_word);
        if !first.is_ascii_digit() && !calendar {
            return false;
        }
        let Some(length) = time::time_len(&self.text[from..end]) else { return false };
        self.out.literal(mark::TIME);
        self.at = from + length;
        self.expect = Expect::Nothing;
        true
    }

    /// Writes the word without its punctuation. True if anything was masked.
    fn core(&mut self, core: &'a str, stop: usize, end: usize) -> bool {
        let plain = core.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-');
        if plain {
            return self.plain(core, stop, end);
        }
        if is_url(core) {
            self.out.literal(mark::URL);
            return true;
        }
        if is_drive_path(core) || core.bytes().filter(|byte| *byte == b'\\').count() >= 2 {
            self.out.literal(mark::PATH);
            return true;
        }
        if !core.contains(':') {
            return self.part(core);
        }
        if is_colon_address(core.strip_prefix('/').unwrap_or(core)) {
            self.out.literal(mark::ADDRESS);
            return true;
        }
        self.parts(core)
    }

    /// A word of letters.
    fn plain(&mut self, core: &str, stop: usize, end: usize) -> bool {
        if self.out.after_number() && is_unit(core) {
            self.out.drop_space();
            return false;
        }
        let is_value = self.is_field_value(core, stop, end);
        let masked = is_value || self.is_user_name(stop, end);
        self.out.literal(match (is_value, masked) {
            (true, _) => mark::VALUE,
            (false, true) => mark::NAME,
            (false, false) => core,
        });
        masked
    }

    /// `enabled: true` anywhere; inside braces, any one word between `key:` and `,` or `}`.
    fn is_field_value(&self, core: &str, stop: usize, end: usize) -> bool {
        let before = self.out.text().trim_end();
        let Some(key) = before.strip_suffix([':', '=']) else { return false };
        if LITERALS.iter().any(|literal| literal.eq_ignore_ascii_case(core)) {
            return true;
        }
        let ends = self.text[stop..end].trim_ascii_start().starts_with([',', '}']);
        let key = key.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(key);
        ends && self.out.in_braces() && before.ends_with(':') && !value::is_telling(key)
    }

    /// `for user alice by ..`, `invalid user alice from ..`.
    fn is_user_name(&self, stop: usize, end: usize) -> bool {
        if !self.previous[0].eq_ignore_ascii_case("user") || self.byte(stop) == b':' {
            return false;
        }
        let next = self.text[stop..end].trim_ascii_start();
        let word = next.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or(next);
        let introduced = matches!(self.previous[1], "for" | "of" | "as" | "invalid" | "unknown");
        matches!(word, "from" | "by" | "at" | "on")
            || next.starts_with('[')
            || (introduced && next.is_empty())
    }
}

/// The word without punctuation around it, and where it starts.
fn trim(word: &str) -> (usize, &str) {
    let mut core = word.trim_end_matches(['.', ':', '!', '?', '*', '%', '~', '#', '^', '$', '@', '\'']);
    let length = core.len();
    loop {
        let next = core.as_bytes().get(1).copied().unwrap_or(b' ');
        core = match core.as_bytes().first() {
            Some(b'*' | b'#' | b'!' | b'$' | b'%' | b'^' | b'@' | b'?' | b'\'') => &core[1..],
            Some(b':') if next != b':' => &core[1..],
            Some(b'-' | b'+') if !next.is_ascii_digit() => &core[1..],
            Some(b'.' | b'~') if !matches!(next, b'/' | b'.') => &core[1..],
            _ => return (length - core.len(), core),
        };
    }
}

fn is_url(word: &str) -> bool {
    word.split_once(':').is_some_and(|(_, rest)| rest.starts_with("//") || rest.contains("://"))
}

/// `C:\dir` or `C:/dir`.
fn is_drive_path(core: &str) -> bool {
    matches!(core.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}
