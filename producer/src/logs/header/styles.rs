//! Heads with an order of their own, known by their first characters.

use super::super::level::Level;
use super::super::time;
use super::Header;
use super::logger;

/// A head in one of the fixed styles.
pub(super) fn read(line: &str) -> Option<Header<'_>> {
    match line.as_bytes() {
        [b'V' | b'D' | b'I' | b'W' | b'E' | b'F', b'0'..=b'1', ..] => klog(line),
        [b'V' | b'D' | b'I' | b'W' | b'E' | b'F', b'/', ..] => android_brief(line),
        [b'0'..=b'9' | b':' | b'a'..=b'z', ..] => redis(line).or_else(|| access(line)),
        [b'A'..=b'Z', b'A'..=b'Z', ..] => python_basic(line),
        _ => None,
    }
}

/// `E0508 12:00:00.123456       1 file.go:12] message`
fn klog(line: &str) -> Option<Header<'_>> {
    let level = Level::read_letter(line.as_bytes()[0])?;
    let day = line.get(1..5)?;
    let (clock, rest) = line.get(5..)?.strip_prefix(' ')?.split_once(' ')?;
    if !day.bytes().all(|byte| byte.is_ascii_digit()) || time::time_len(clock) != Some(clock.len()) {
        return None;
    }
    let (place, message) = rest.split_once("] ")?;
    let file = place.split_whitespace().last()?;
    Some(Header {
        timestamp: Some(&line[1..6 + clock.len()]),
        level: Some(level),
        logger: Some(logger::without_place(file)),
        service: None,
        message,
    })
}

/// `E/ActivityManager( 123): message`
fn android_brief(line: &str) -> Option<Header<'_>> {
    let level = Level::read_letter(line.as_bytes()[0])?;
    let (tag, rest) = line[2..].split_once('(')?;
    let (process, message) = rest.split_once("): ")?;
    let plain =
        logger::is_name(tag.trim_end()) && process.trim_start().bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| Header { level: Some(level), logger: Some(tag.trim_end()), message, ..Header::default() })
}

/// `host ident user [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 12`
fn access(line: &str) -> Option<Header<'_>> {
    let rest = line.splitn(4, ' ').nth(3)?.strip_prefix('[')?;
    let length = time::time_len(rest)?;
    let message = rest[length..].strip_prefix("] ")?;
    let is_access = rest[..length].contains('/') && message.starts_with('"');
    is_access.then(|| Header { timestamp: Some(&rest[..length]), message, ..Header::default() })
}

/// `1234:M 01 Jan 2024 12:00:00.000 # message`
fn redis(line: &str) -> Option<Header<'_>> {
    let (role, rest) =
        line.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(':')?.split_once(' ')?;
    if role.len() != 1 {
        return None;
    }
    let length = time::time_len(rest)?;
    let (mark, message) = rest[length..].strip_prefix(' ')?.split_once(' ')?;
    let level = match mark {
        "." => "DEBUG",
        "-" => "INFO",
        "*" => "NOTICE",
        "#" => "WARNING",
        _ => return None,
    };
    Some(Header { timestamp: Some(&rest[..length]), level: Some(level), message, ..Header::default() })
}

/// `WARNING:root:message`
fn python_basic(line: &str) -> Option<Header<'_>> {
    let (level, rest) = line.split_once(':')?;
    Level::read(level)?;
    let (logger, message) = rest.split_once(':')?;
    logger::is_name(logger).then(|| Header {
        level: Some(level),
        logger: Some(logger),
        message,
        ..Header::default()
    })
}
