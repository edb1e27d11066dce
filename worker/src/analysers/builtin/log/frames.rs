//! Which line of code an event comes from.

use std::sync::LazyLock;

use regex::Regex;

use super::exception::STACK_LINES;

/// Lines that tell a place: Java, JavaScript and .NET; Python; Go; PHP; Ruby; Rust.
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^\s*(?:at (?P<at>\S.*[):\d])|",
        r#"File "(?P<py>[^"]+", line \d+.*)|"#,
        r"(?P<go>\S+\.go:\d+)|",
        r"#\d+ (?P<php>\S+\.php\(\d+\).*)|",
        r"from (?P<rb>\S+\.rb:\d+.*)|",
        r"\d+: (?P<rs>[\w<].*::.*))"
    ))
    .expect("a fixed pattern")
});

/// Code of languages, servers and libraries: where it fails is rarely where the fault is.
static FOREIGN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:[\w.-]+@?[\w.-]*/)?(?:java|javax|jakarta|jdk|sun|com\.sun|kotlin|kotlinx|scala|groovy|lombok|akka|",
        r"io\.netty|reactor|rx|io\.reactivex|com\.zaxxer|com\.fasterxml|com\.google\.common|com\.mysql|",
        r"oracle\.jdbc|okhttp3|org\.(?:springframework|hibernate|postgresql|eclipse\.jetty|junit|mockito|slf4j|",
        r"apache\.(?:tomcat|catalina|coyote|http|commons|logging|log4j))|System|Microsoft)\.",
        r"|site-packages|dist-packages|/lib/python\d|<frozen |<string>|node_modules|node:|\binternal/",
        r"|/usr/local/go/|/pkg/mod/|/gems/|/vendor/|/rustc/",
        r"|^(?:std|core|alloc|tokio|rust_begin_unwind|__rust|<?(?:alloc|core|std)::)\b"
    ))
    .expect("a fixed pattern")
});

/// The topmost frame of the program's own code, or the topmost of all if it has none there.
pub(super) fn own(stack: &str) -> Option<String> {
    let mut frames: Vec<&str> = stack.lines().take(STACK_LINES).filter_map(frame).collect();
    if stack.trim_start().starts_with("Traceback") {
        // "most recent call last"
        frames.reverse();
    }
    let own = frames.iter().find(|frame| !FOREIGN.is_match(frame));
    own.or(frames.first()).map(|frame| frame.replace("\", line ", ":").trim().to_owned())
}

fn frame(line: &str) -> Option<&str> {
    let captures = FRAME.captures(line)?;
    captures.iter().skip(1).flatten().next().map(|place| place.as_str())
}
