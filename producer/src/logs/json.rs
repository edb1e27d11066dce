//! Events from JSON: Datadog's shape, and the field names of many loggers.

use serde_json::{Map, Value};

use super::event::LogEvent;
use super::header::Header;
use super::level::Level;
use super::options::LogFields;

const TIMESTAMP: &[&str] =
    &["timestamp", "@timestamp", "time", "ts", "datetime", "date", "eventTime", "__REALTIME_TIMESTAMP"];
const LEVEL: &[&str] = &[
    "level",
    "severity",
    "lvl",
    "log.level",
    "loglevel",
    "levelname",
    "level_name",
    "@l",
    "PRIORITY",
    "status",
];
const LOGGER: &[&str] = &[
    "logger",
    "logger.name",
    "logger_name",
    "loggerName",
    "log.logger",
    "SourceContext",
    "Properties.SourceContext",
    "component",
    "category",
    "target",
    "module",
    "SYSLOG_IDENTIFIER",
    "name",
    "caller",
];
const MESSAGE: &[&str] = &["message", "msg", "log", "@m", "MESSAGE", "text", "event", "body", "@mt"];
const STACK: &[&str] = &[
    "stack_trace",
    "error.stack",
    "error.stack_trace",
    "stack",
    "stacktrace",
    "stackTrace",
    "exc_info",
    "exception",
    "err.stack",
    "exception.stacktrace",
    "thrown.extendedStackTrace",
    "@x",
];
const SERVICE: &[&str] = &["service", "service.name", "app", "application", "host", "hostname", "host.name"];
/// What went wrong, beside the message: appended to it.
const ERROR_KIND: &[&str] = &["error.kind", "error.type", "exception.type", "exception.class", "err.type"];
const ERROR_TEXT: &[&str] = &["error.message", "error", "err", "err.message", "exception.message"];

/// The events in a line: one for an object, several for a page; `None` if it is no JSON of that kind.
pub(super) enum Parsed {
    One(Box<LogEvent>),
    Page(Vec<LogEvent>),
}

/// Reads a line that starts with `{` or `[{`.
pub(super) fn read(line: &str, fields: &LogFields) -> Option<Parsed> {
    let value: Value = serde_json::from_str(line).ok()?;
    match value {
        Value::Object(mut object) => match object.remove("data") {
            Some(Value::Array(page)) if page.iter().all(Value::is_object) => {
                Some(Parsed::Page(events(&page, fields)))
            }
            Some(data) => {
                object.insert("data".to_owned(), data);
                Some(Parsed::One(Box::new(event(&object, fields))))
            }
            None => Some(Parsed::One(Box::new(event(&object, fields)))),
        },
        Value::Array(page) if page.iter().all(Value::is_object) => Some(Parsed::Page(events(&page, fields))),
        _ => None,
    }
}

fn events(page: &[Value], fields: &LogFields) -> Vec<LogEvent> {
    page.iter().filter_map(Value::as_object).map(|object| event(object, fields)).collect()
}

/// The event of one object.
pub(super) fn event(object: &Map<String, Value>, fields: &LogFields) -> LogEvent {
    let roots = Roots::of(object);
    let level = roots.find(&fields.level, LEVEL, level);
    let logger = roots.find(&fields.logger, LOGGER, text);
    let mut event = LogEvent {
        timestamp: roots.find(&fields.timestamp, TIMESTAMP, number_or_text),
        level: level.unwrap_or_default(),
        logger: logger.unwrap_or_default(),
        service: roots.find(&fields.service, SERVICE, text),
        message: roots.find(&fields.message, MESSAGE, text).unwrap_or_default(),
        stack: roots.find(&fields.stack, STACK, stack),
        ..LogEvent::default()
    };
    read_head(&mut event);
    append_error(&mut event, &roots);
    split_message(&mut event);
    if event.message.is_empty() {
        event.message = serde_json::to_string(object).unwrap_or_default();
    }
    event
}

/// Where fields are looked for: in Datadog's shape the log's own attributes are nested.
struct Roots<'a>(Vec<&'a Map<String, Value>>);

impl<'a> Roots<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        let outer = object.get("attributes").and_then(Value::as_object);
        let inner = outer.and_then(|outer| outer.get("attributes")).and_then(Value::as_object);
        Self([Some(object), outer, inner].into_iter().flatten().collect())
    }

    fn find(&self, own: &[String], usual: &[&str], read: fn(&Value) -> Option<String>) -> Option<String> {
        let paths = own.iter().map(String::as_str).chain(usual.iter().copied());
        paths.into_iter().find_map(|path| self.0.iter().find_map(|root| read(lookup(root, path)?)))
    }
}

/// The value at a path: `a.b` is a key of that name, or `b` in `a`.
fn lookup<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(dot, _)| lookup(object.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.trim_end().replace('\0', "\u{fffd}")).filter(|text| !text.is_empty())
}

fn number_or_text(value: &Value) -> Option<String> {
    text(value).or_else(|| value.as_number().map(ToString::to_string))
}

fn level(value: &Value) -> Option<String> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    match number {
        Some(number) => Level::read_number(number).map(str::to_owned),
        None => value.as_str().filter(|word| Level::read(word).is_some()).map(str::to_ascii_uppercase),
    }
}

/// A trace as one text, or as a list of lines.
fn stack(value: &Value) -> Option<String> {
    let lines = || {
        value.as_array().map(|lines| lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
    };
    text(value).or_else(lines).filter(|stack| stack.contains('\n') || stack.len() > 60)
}

/// A line that went through a collector may still have its own head.
fn read_head(event: &mut LogEvent) {
    if !event.logger.is_empty() {
        return;
    }
    let Some(header) = Header::read(event.message.trim_end()) else { return };
    let Some(level) = header.level.filter(|_| header.timestamp.is_some()) else { return };
    let (level, logger, message) =
        (level.to_ascii_uppercase(), header.logger.unwrap_or("").to_owned(), header.message.to_owned());
    (event.level, event.logger, event.message) = (level, logger, message);
}

fn append_error(event: &mut LogEvent, roots: &Roots<'_>) {
    if event.stack.is_some() && !event.message.is_empty() {
        return;
    }
    for part in [roots.find(&[], ERROR_KIND, text), roots.find(&[], ERROR_TEXT, text)].into_iter().flatten() {
        if !event.message.contains(&part) {
            let gap = if event.message.is_empty() { "" } else { ": " };
            event.message.push_str(gap);
            event.message.push_str(&part);
        }
    }
}

/// The first line is the message; a trace may stand below it.
fn split_message(event: &mut LogEvent) {
    let source =
        if event.message.is_empty() { event.stack.take() } else { Some(std::mem::take(&mut event.message)) };
    let source = source.unwrap_or_default();
    let (first, rest) = source.trim_start().split_once('\n').unwrap_or((source.trim_start(), ""));
    first.trim_end().clone_into(&mut event.message);
    if !rest.trim().is_empty() {
        event.stack = Some(match event.stack.take() {
            Some(stack) if rest.contains(&stack) => rest.to_owned(),
            Some(stack) => format!("{rest}\n{stack}"),
            None => rest.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
