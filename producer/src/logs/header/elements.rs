//! What stands between the time and the message, in whatever order.

use super::super::level::Level;
use super::{Header, logger};

/// No head has more parts than this.
const MOST: usize = 10;

/// Reads a head's elements one by one.
pub(super) struct Elements<'h, 'a> {
    header: &'h mut Header<'a>,
    rest: &'a str,
    /// What a bracket named that is neither level nor number: a thread, or the logger after all.
    bracket: Option<&'a str>,
    /// Levels of single letters are only read behind process numbers.
    after_numbers: bool,
    /// `---` was read: what follows, up to ` : `, is thread and logger.
    after_dashes: bool,
}

impl<'h, 'a> Elements<'h, 'a> {
    /// Completes the header, message included.
    pub(super) fn read(header: &'h mut Header<'a>, rest: &'a str) {
        let mut elements = Self { header, rest, bracket: None, after_numbers: false, after_dashes: false };
        for _ in 0..MOST {
            elements.skip_separators();
            let before = elements.rest.len();
            if elements.header.logger.is_some() && elements.header.level.is_some() {
                break;
            }
            if !(elements.bracketed() || elements.level() || elements.numbers() || elements.logger()) {
                break;
            }
            debug_assert!(elements.rest.len() < before);
        }
        elements.finish();
    }

    fn finish(mut self) {
        // Apache names its process behind level and module.
        if let Some((process, rest)) = bracket(self.rest).filter(|(inner, _)| inner.starts_with("pid ")) {
            self.rest = if is_process(process) { rest } else { self.rest };
        }
        if self.header.logger.is_none() {
            // The number of a thread would make an event of every thread another problem.
            let is_logger =
                |name: &&str| logger::is_name(name) && !name.bytes().any(|byte| byte.is_ascii_digit());
            self.header.logger = self.bracket.filter(is_logger);
        }
        self.header.message = self.rest.trim_start();
    }

    fn has_time(&self) -> bool {
        self.header.timestamp.is_some()
    }

    fn skip_separators(&mut self) {
        loop {
            let rest = self.rest.trim_start_matches([' ', '\t', '|']);
            let marks = ["--- ", "-- ", "- ", ": ", ", ", "] "];
            let next = marks.iter().find_map(|mark| rest.strip_prefix(mark)).unwrap_or(rest);
            self.after_dashes |= rest.starts_with("--- ");
            let done = next.len() == self.rest.len();
            self.rest = next;
            if done {
                return;
            }
        }
    }

    /// `[ERROR]`, `[main]`, `[1234]`, `[core:error]`, `[thread:Class@12]`.
    fn bracketed(&mut self) -> bool {
        let Some((inner, rest)) = bracket(self.rest) else { return false };
        let word = inner.trim();
        if let Some(class) = logger::in_bracket(word) {
            self.header.logger.get_or_insert(class);
        } else if let Some((module, level)) = module_level(word) {
            self.header.level = Some(level);
            self.header.logger = self.header.logger.or(module);
        } else if is_process(word) {
            self.after_numbers = true;
        } else if self.has_time() && self.bracket.is_none() && !is_peer(word) {
            self.bracket = Some(word);
        } else if self.header.service.is_none() && self.bracket.is_some() && logger_follows(rest) {
            // `[service] [thread] org.acme.Pool - message`
            self.header.service = self.bracket.replace(word);
        } else {
            return false;
        }
        self.rest = rest;
        true
    }

    fn level(&mut self) -> bool {
        if self.header.level.is_some() {
            return false;
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(end);
        if self.after_numbers && word.len() == 1 && behind.starts_with(' ') {
            let letter = Level::read_letter(word.as_bytes()[0]);
            if letter.is_some() {
                self.header.level = letter;
                self.rest = behind;
                return true;
            }
        }
        let upper = word.bytes().all(|byte| !byte.is_ascii_lowercase());
        let lower = word.bytes().all(|byte| !byte.is_ascii_uppercase());
        let stands = match behind.as_bytes().first() {
            None | Some(b' ' | b'\t' | b'|' | b']') => upper || self.has_time(),
            Some(b':') => (upper || lower || self.has_time()) && !behind.starts_with("::"),
            Some(b',' | b'-') => self.has_time(),
            _ => false,
        };
        if !stands || Level::read(word).is_none() {
            return false;
        }
        self.header.level = Some(word);
        self.rest = behind.trim_start_matches(':');
        true
    }

    /// Process and thread numbers, where a level or `---` follows; nginx's `12#12:`.
    fn numbers(&mut self) -> bool {
        let Some(behind) = skip_digits(self.rest) else { return false };
        if let Some(behind) = behind.strip_prefix('#').and_then(skip_digits)
            && let Some(behind) = behind.strip_prefix(':')
        {
            self.rest = behind;
            return true;
        }
        if !self.has_time() || !behind.starts_with([' ', '\t', '|']) {
            return false;
        }
        let next = behind.trim_start_matches([' ', '|', '\t']);
        let next = skip_digits(next).map_or(next, str::trim_start);
        let word = next.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or(next);
        let letter = word.len() == 1 && Level::read_letter(word.as_bytes()[0]).is_some();
        let level = self.header.level.is_none() && (letter || Level::read(word).is_some());
        if !level && !next.starts_with("---") && !behind.starts_with('|') {
            return false;
        }
        self.rest = behind;
        self.after_numbers = true;
        true
    }

    fn logger(&mut self) -> bool {
        if self.header.logger.is_some() {
            return false;
        }
        self.tagged() || self.named()
    }

    /// `host tag[12]:` and `tag[12]:`, as syslog writes it.
    fn tagged(&mut self) -> bool {
        if !self.has_time() || self.header.level.is_some_and(|_| self.rest.starts_with('[')) {
            return false;
        }
        let (first, behind) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        if let Some(tag) = tag(first).filter(|_| first.contains('[')) {
            self.header.logger = Some(tag);
            self.rest = behind;
            return true;
        }
        let (second, message) = behind.split_once(' ').unwrap_or((behind, ""));
        let written_month_first =
            self.header.timestamp.is_some_and(|time| time.starts_with(|c: char| c.is_ascii_alphabetic()));
        let host = logger::is_name(first) || super::super::mask::is_address(first);
        match tag(second) {
            Some(tag) if host && !first.ends_with(':') && (second.contains('[') || written_month_first) => {
                self.header.service = Some(first);
                self.header.logger = Some(tag);
                self.rest = message;
                true
            }
            _ => false,
        }
    }

    /// `org.acme.Pool: `, `pool - `, `Pool : `, `nova.api `, `file.go:12: `, `Step|`.
    fn named(&mut self) -> bool {
        if !self.has_time() && self.header.level.is_none() {
            return false;
        }
        let end = self.rest.find([' ', '\t', '|', ']']).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(end);
        let name = logger::without_place(word.trim_end_matches(':'));
        let columns = behind.starts_with("  ")
            && self.header.level.is_some()
            && word.bytes().all(|b| b.is_ascii_uppercase());
        let dashed = behind.trim_start_matches([' ', '\t']);
        let set_off = dashed.starts_with("- ") || dashed.starts_with(": ") || behind.starts_with(['|', ']']);
        // Containers name their parts `[/].[dispatcher]`.
        if self.after_dashes
            && let Some((name, message)) = self.rest.split_once(" : ")
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.trim_end().contains(' ')
        {
            self.header.logger = Some(name.trim_end());
            self.rest = message;
            return true;
        }
        let known = if word.ends_with(':') {
            logger::is_qualified(name)
        } else if set_off || columns {
            logger::is_name(name)
        } else {
            self.header.level.is_some() && name.contains('.') && logger::is_qualified(name)
        };
        if known {
            self.header.logger = Some(name);
            self.rest = behind;
        }
        known
    }
}

/// The bracket that a text starts with: its content, and what follows.
fn bracket(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('[') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate().take(300) {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// ` org.acme.Pool - ...`, ` Pool : ...`
fn logger_follows(text: &str) -> bool {
    let (word, behind) = text.trim_start().split_once(' ').unwrap_or((text, ""));
    let behind = behind.trim_start();
    logger::is_name(word) && (behind.starts_with("- ") || behind.starts_with(": "))
}

/// `error`, or `core:error`.
fn module_level(word: &str) -> Option<(Option<&str>, &str)> {
    let (module, level) = word.rsplit_once(':').map_or((None, word), |(module, level)| (Some(module), level));
    Level::read(level)?;
    let module = module.filter(|module| !module.is_empty());
    module.is_none_or(logger::is_name).then_some((module, level))
}

/// `123`, `pid 123`, `pid 123:tid 456`, `12345-2`.
fn is_process(word: &str) -> bool {
    let bare = word.strip_prefix("pid ").unwrap_or(word).replace(":tid ", "");
    !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// `[client 10.0.0.1]` belongs to the message.
fn is_peer(word: &str) -> bool {
    word.split_once(' ').is_some_and(|(first, rest)| matches!(first, "client" | "remote") && !rest.is_empty())
}

/// The name in `sshd[12]:`, `su(pam_unix)[12]:`, `kernel:`.
fn tag(word: &str) -> Option<&str> {
    let word = word.strip_suffix(':')?;
    let name = word.split(['[', '(']).next().unwrap_or(word);
    (logger::is_name(name) && (word.len() == name.len() || word.ends_with([']', ')']))).then_some(name)
}

fn skip_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}
