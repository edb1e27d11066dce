//! One word: literal, or masked by its shape.

use super::codes::Expect;
use super::number::{is_colon_address, is_hex_literal, is_ipv4, is_number, is_port, is_unit};
use super::out::mark;
use super::{Scanner, name, value};
use crate::logs::time;

const LITERALS: [&str; 5] = ["true", "false", "null", "nil", "none"];

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
        if !query && !word.contains("://") {
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
        if core.contains("://") {
            self.out.literal(mark::URL);
            return true;
        }
        let plain = core.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-');
        if plain {
            return self.plain(core, stop, end);
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
        if is_unit(core) && self.out.drop_space_after_number() {
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
        let introduced = matches!(self.previous[1], "for" | "invalid" | "unknown" | "as");
        matches!(word, "from" | "by" | "at" | "on")
            || next.starts_with('[')
            || (introduced && next.is_empty())
    }

    /// Parts between colons: addresses swallow their port, everything else stays apart.
    fn parts(&mut self, core: &str) -> bool {
        let mut masked = false;
        let mut parts = core.split(':').peekable();
        let mut first = true;
        let mut port_may_follow = false;
        while let Some(part) = parts.next() {
            if std::mem::take(&mut port_may_follow) && is_port(part) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.literal(":");
            }
            if parts.peek().is_some_and(|next| is_port(next)) && is_host_like(part) {
                self.out.literal(mark::ADDRESS);
                masked = true;
            } else if LITERALS.contains(&part) {
                self.out.literal(mark::VALUE);
                masked = true;
            } else {
                masked |= self.part(part);
            }
            port_may_follow = self.out.text().ends_with(mark::ADDRESS);
            self.expect = self.expect.after(part);
        }
        masked
    }

    /// A word, or a part of one, without colons.
    fn part(&mut self, part: &str) -> bool {
        if part.contains('/') {
            return self.slashes(part);
        }
        if let Some((left, right)) = part.rsplit_once('@')
            && !left.is_empty()
            && !right.is_empty()
        {
            return self.at_sign(left, right);
        }
        let before = self.out.text().len();
        if is_hex_literal(part) {
            self.out.literal(mark::ID);
        } else if is_number(part) && !is_ipv4(part) {
            let all_digits = part.bytes().all(|byte| byte.is_ascii_digit());
            let code = if all_digits { self.expect.text(part) } else { None };
            self.out.literal(code.as_deref().unwrap_or(mark::NUMBER));
        } else if part.bytes().any(|byte| byte.is_ascii_digit()) {
            name::write(part, &mut self.out);
        } else if name::is_host(part) {
            self.out.literal(mark::ADDRESS);
        } else {
            self.out.literal(part);
        }
        self.out.text()[before..] != *part
    }

    /// Paths, `host/address`, fractions; `n/a` and `I/O` stay.
    fn slashes(&mut self, part: &str) -> bool {
        let masked = if part.starts_with(['/', '~', '.']) {
            if is_ipv4(&part[1..]) { mark::ADDRESS } else { mark::PATH }
        } else if part.split('/').any(is_ipv4) {
            mark::ADDRESS
        } else if part.split('/').all(is_number) {
            mark::NUMBER
        } else {
            return self.relative(part);
        };
        self.out.literal(masked);
        true
    }

    fn relative(&mut self, part: &str) -> bool {
        let (first, rest) = part.split_once('/').unwrap_or((part, ""));
        let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
        if is_number(rest) && !has_digit(first) {
            // `HTTP/1.1`, `curl/7.68.0`
            self.out.literal(first);
            self.out.literal("/");
            self.out.literal(mark::NUMBER);
            return true;
        }
        let is_path = rest.contains(['/', '.']) || has_digit(part);
        self.out.literal(if is_path { mark::PATH } else { part });
        is_path
    }

    /// Mail addresses and `Object@hash`.
    fn at_sign(&mut self, left: &str, right: &str) -> bool {
        let label = right.rsplit_once('.').map_or("", |(_, label)| label);
        if !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            self.out.literal(mark::EMAIL);
            return true;
        }
        let left_masked = self.part(left);
        self.out.literal("@");
        if right.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.out.literal(mark::ID);
            return true;
        }
        self.part(right) || left_masked
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

/// `C:\dir` or `C:/dir`.
fn is_drive_path(core: &str) -> bool {
    matches!(core.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// Whether a port may follow: an address, `localhost`, or a name that is no file and no key.
fn is_host_like(part: &str) -> bool {
    let address = part.rsplit(['/', '@']).next().unwrap_or(part);
    if part.contains('@') {
        return false;
    }
    let has_digit = address.bytes().any(|byte| byte.is_ascii_digit());
    is_ipv4(address)
        || part == "localhost"
        || name::is_host(address)
        || (has_digit && !is_number(address) && address.contains(['-', '.']))
}
