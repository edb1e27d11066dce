//! Stack traces: which lines belong to one, and what they say.

mod join;
mod thrown;

pub(super) use join::Joiner;
pub(super) use thrown::Thrown;

/// How the lines of a Python trace begin.
pub(super) const PYTHON: &str = "Traceback (most recent call last)";

/// How class names of what can be thrown end.
const THROWABLE: [&str; 7] = ["Exception", "Error", "Throwable", "Interrupt", "Exit", "Fault", "Failure"];
/// What stands before the class where nobody caught it.
const UNCAUGHT: [&str; 3] = ["Unhandled exception. ", "Uncaught ", "Unhandled exception: "];

/// The line without indent and `Uncaught`, if it names an exception: `java.io.IOException: broken pipe`.
fn exception_line(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = UNCAUGHT.iter().find_map(|before| line.strip_prefix(before)).unwrap_or(line);
    exception_class(line).map(|_| line)
}

/// The class that a line starts with.
fn exception_class(line: &str) -> Option<&str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
    let class = &line[..line.find(|c: char| !is_part(c)).unwrap_or(line.len())];
    let named = THROWABLE.iter().any(|end| class.ends_with(end));
    let behind = &line[class.len()..];
    let starts = class.starts_with(|c: char| c.is_alphabetic());
    (named && starts && (behind.is_empty() || behind.starts_with(':'))).then_some(class)
}

/// Whether a name is that of an exception, and so no logger's.
pub(super) fn is_exception_name(name: &str) -> bool {
    exception_class(name) == Some(name)
}
