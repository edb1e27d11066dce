//! The head of a plain line: time, level, thread, logger, by rules that hold for many systems.
//!
//! A head is read from left to right: a time, then any of level, thread, process id and logger.
//! What is not understood is the message; a line without a head is all message.

mod elements;
mod logger;
mod styles;

use super::time;
use elements::Elements;

/// What a line's head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Time as written.
    pub(super) timestamp: Option<&'a str>,
    /// Level as written, or the word for a letter.
    pub(super) level: Option<&'a str>,
    /// Logger, component, tag or source file.
    pub(super) logger: Option<&'a str>,
    /// Host, where the format has one.
    pub(super) service: Option<&'a str>,
    /// The rest of the line.
    pub(super) message: &'a str,
}

impl<'a> Header<'a> {
    /// Reads a line's head; `None` if it has none.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        styles::read(line).or_else(|| Self::general(line))
    }

    fn general(line: &'a str) -> Option<Self> {
        let (priority, rest) = priority(line);
        let mut header = Self { level: priority, ..Self::default() };
        let rest = header.time(rest.trim_start());
        // Container runtimes write their own time, stream and flag before the line.
        if header.timestamp.is_some()
            && let Some(inner) = container_line(rest)
        {
            let inner_header = Self::read(inner).unwrap_or(Self { message: inner, ..Self::default() });
            let timestamp = inner_header.timestamp.or(header.timestamp);
            return Some(Self { timestamp, ..inner_header });
        }
        Elements::read(&mut header, rest);
        let found = header.timestamp.is_some() || header.level.is_some();
        found.then_some(header)
    }

    /// Takes the time at the start, in brackets or bare; returns what follows.
    fn time(&mut self, line: &'a str) -> &'a str {
        let bracket = line.starts_with('[');
        let text = if bracket { &line[1..] } else { line };
        let Some(length) = time::head_time_len(text) else { return line };
        self.timestamp = Some(&text[..length]);
        let rest = &text[length..];
        // `[time LEVEL logger] message` goes on inside the bracket.
        if bracket { rest.strip_prefix(']').unwrap_or(rest) } else { rest }
    }
}

/// `<34>`, and the version that the newer syslog format has behind it.
fn priority(line: &str) -> (Option<&'static str>, &str) {
    let parsed = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let number = parsed.and_then(|(number, _)| number.parse::<u64>().ok()).filter(|number| *number < 192);
    match (parsed, number) {
        (Some((_, rest)), Some(number)) => {
            (super::level::Level::read_number(number % 8), rest.strip_prefix("1 ").unwrap_or(rest))
        }
        _ => (None, line),
    }
}

fn container_line(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix(" stdout ").or_else(|| rest.strip_prefix(" stderr "))?;
    rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P "))
}

#[cfg(test)]
mod tests;
