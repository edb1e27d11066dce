//! Parts of a word: between colons, slashes and `@`.

use super::number::{is_hex_literal, is_ipv4, is_number, is_port};
use super::out::mark;
use super::word::LITERALS;
use super::{Scanner, name};

impl Scanner<'_> {
    /// Parts between colons: addresses swallow their port, everything else stays apart.
    pub(super) fn parts(&mut self, core: &str) -> bool {
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
    pub(super) fn part(&mut self, part: &str) -> bool {
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
        if is_number(first) && rest.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            // `1/FAILURE`
            let masked = self.part(first);
            self.out.literal("/");
            self.out.literal(rest);
            return masked;
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
