//! Masks what varies in a message: one pass over its bytes, no word list of any one system.
//!
//! [`Scanner`] walks over words, quotes, brackets and `key=value`; [`word`] and [`part`] decide about a word;
//! [`name`], [`number`] and [`codes`] know shapes; [`out`] merges repeated items.

mod codes;
mod name;
mod number;
mod out;
mod part;
mod quote;
mod value;
mod word;

use codes::Expect;
use out::Out;
pub(super) use out::mark::{ID, NUMBER};

/// More of a message than this many bytes says nothing more about what kind it is.
const LONGEST: usize = 16 * 1024;

/// The message with its varying parts masked, on one line.
pub(super) fn mask(text: &str) -> String {
    let text = clip(text, LONGEST);
    let mut scanner = Scanner {
        text,
        at: 0,
        out: Out::with_capacity(text.len()),
        expect: Expect::Nothing,
        previous: ["", ""],
        reveal: false,
        after_request: false,
    };
    scanner.run(text.len());
    scanner.out.into_text()
}

/// The start of a text, cut between words.
pub(super) fn clip(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let cut = text.floor_char_boundary(most);
    let word = text[..cut].rfind(char::is_whitespace).filter(|space| *space > most / 2);
    &text[..word.unwrap_or(cut)]
}

/// Whether a word is an IP address.
pub(super) fn is_address(word: &str) -> bool {
    number::is_ipv4(word) || number::is_colon_address(word)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    out: Out,
    /// What a number would mean here.
    expect: Expect,
    /// The last words, newest first.
    previous: [&'a str; 2],
    /// The next quoted value says what is wrong: its words stay.
    reveal: bool,
    /// An HTTP request line was quoted: what is quoted behind it are referrer and agent.
    after_request: bool,
}

impl Scanner<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(b' ')
    }

    /// Masks up to `end`.
    fn run(&mut self, end: usize) {
        while self.at < end {
            match self.byte(self.at) {
                byte if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                    self.out.space();
                    self.at += 1;
                }
                b'"' | b'\'' | b'`' => self.quote(end),
                byte @ (b'(' | b'[' | b'{') => self.bracket(byte),
                b'<' if self.byte(self.at + 1).is_ascii_alphabetic() => self.bracket(b'<'),
                byte @ (b')' | b']' | b'}' | b'>') => {
                    self.out.close(byte);
                    self.at += 1;
                }
                b'=' => self.equals(end),
                b',' | b';' | b'|' | b'&' | b'<' => self.separator(),
                _ => self.word(end),
            }
        }
    }

    fn bracket(&mut self, bracket: u8) {
        self.out.open(bracket);
        self.at += 1;
    }

    fn separator(&mut self) {
        self.out.literal(&self.text[self.at..=self.at]);
        self.at += 1;
        self.expect = Expect::Nothing;
    }
}

#[cfg(test)]
mod tests;
