//! Values that are written as text. Each error says what was found and what is expected.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fleetline_shared::domain::is_tenant_name;
use fleetline_shared::ports::{LONGEST_HOLD, Rate};
use fleetline_shared::redis::is_prefix;
use secrecy::SecretString;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::inputs::Level;
use super::rate;

const DURATION: &str = "a duration with its unit, such as \"500ms\", \"30s\" or \"5m\"";

/// Reads a text, or a number as the text that it is written with, and parses it.
struct Text<F> {
    expected: &'static str,
    parse: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text.trim())
            .ok_or_else(|| E::custom(format_args!("expected {}, found \"{}\"", self.expected, text.trim())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

pub(super) fn parsed<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    from.deserialize_any(Text { expected, parse })
}

/// `none` and nothing at all are `None`.
#[expect(clippy::option_option, reason = "the outer one: can it be read; the inner one: is it there")]
pub(super) fn none_or<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if is_none(text) { Some(None) } else { parse(text).map(Some) }
}

/// Whether a text stands for an optional value that is not there.
pub(super) fn is_none(text: &str) -> bool {
    text.is_empty() || text == "none"
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn positive(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
}

pub(super) fn required<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parsed(from, "a text that is not empty", non_empty)
}

pub(super) fn tenant<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parsed(from, "a name that is not empty and has no control characters", |text| {
        is_tenant_name(text).then(|| text.to_owned())
    })
}

pub(super) fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parsed(from, "a text that is not empty and has no braces", |text| {
        non_empty(text).filter(|text| is_prefix(text))
    })
}

pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    parsed(from, "a text or \"none\"", |text| none_or(text, non_empty))
}

pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    parsed(from, "a path", |text| non_empty(text).map(PathBuf::from))
}

pub(super) fn optional_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    parsed(from, "a path or \"none\"", |text| none_or(text, |text| Some(PathBuf::from(text))))
}

pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    parsed(from, "an address and a port, such as \"127.0.0.1:8080\" or \"0.0.0.0:80\"", |text| {
        text.parse().ok()
    })
}

/// The name goes into names of connections, so it is short and plain.
pub(super) fn auto_or_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let plain = |text: &str| text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic());
    parsed(from, "\"auto\" or a name of at most 100 characters without spaces", |text| {
        if text == "auto" { Some(None) } else { non_empty(text).filter(|text| plain(text)).map(Some) }
    })
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parsed(from, DURATION, positive)
}

pub(super) fn duration_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parsed(from, DURATION, |text| humantime::parse_duration(text).ok())
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, "\"none\" or a duration with its unit, such as \"5m\" or \"2h\"", |text| {
        none_or(text, positive)
    })
}

pub(super) fn forever_or_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, "\"forever\" or a duration with its unit, such as \"12h\" or \"30d\"", |text| {
        if text == "forever" { Some(None) } else { positive(text).map(Some) }
    })
}

pub(super) fn never_or_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, "\"never\" or a duration with its unit, such as \"5m\" or \"2h\"", |text| {
        if text == "never" { Some(None) } else { positive(text).map(Some) }
    })
}

/// Whoever loses the quotas' state waits for the longest hold of all processes, so this has a bound.
pub(super) fn hold<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parsed(from, "a duration of at most \"2s\"", |text| {
        humantime::parse_duration(text).ok().filter(|hold| *hold <= LONGEST_HOLD)
    })
}

pub(super) fn optional_rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rate>, D::Error> {
    parsed(from, rate::SHAPE, |text| none_or(text, rate::parse))
}

pub(super) fn optional_level<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Level>, D::Error> {
    parsed(
        from,
        "\"none\" or one of \"trace\", \"debug\", \"info\", \"warn\", \"error\", \"fatal\"",
        |text| {
            none_or(text, |text| match text {
                "trace" => Some(Level::Trace),
                "debug" => Some(Level::Debug),
                "info" => Some(Level::Info),
                "warn" => Some(Level::Warn),
                "error" => Some(Level::Error),
                "fatal" => Some(Level::Fatal),
                _ => None,
            })
        },
    )
}

/// Keys belong to `api_key`: a URL is printed in errors and in `config print`.
pub(super) fn base_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    struct BaseUrl;
    impl Visitor<'_> for BaseUrl {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a URL that starts with http:// or https://")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            let text = text.trim().trim_end_matches('/');
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            match rest {
                None | Some("") => Err(E::custom("expected a URL that starts with http:// or https://")),
                Some(rest) if rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) => {
                    Err(E::custom(
                        "expected a URL without user, query, fragment and spaces; a key belongs to api_key",
                    ))
                }
                Some(_) => Ok(text.to_owned()),
            }
        }
    }
    from.deserialize_any(BaseUrl)
}

/// A key. Errors never repeat it.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let text = parsed(from, "a text or \"none\"", |text| Some(text.to_owned()))?;
    if is_none(&text) {
        Ok(None)
    } else if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(SecretString::from(text)))
    } else {
        Err(D::Error::custom("a key is printable ASCII without spaces and line breaks; this one is not"))
    }
}

/// A list of texts; from the environment: one text with commas.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    from.deserialize_any(List)
}
