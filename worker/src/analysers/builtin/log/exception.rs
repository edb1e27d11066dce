//! Exceptions named in a message or its stack trace.

use std::sync::LazyLock;

use fleetline_shared::domain::args::LogArgs;
use regex::Regex;

/// Lines of a stack trace that are read, from its beginning.
pub(super) const STACK_LINES: usize = 2_000;
/// Exception lines of a stack trace that the rules see.
const EXCEPTION_LINES: usize = 20;
/// Characters of one of them.
const LINE_CHARS: usize = 500;

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:\b[A-Za-z_$][\w$]*(?:\.|::))*\b[A-Z]\w*(?:Exception|Error|Exit|Interrupt)\b")
        .expect("a fixed pattern")
});

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^\s*(at |File "|\d+: |#\d+ |from |\.\.\. \d+)"#).expect("a fixed pattern")
});

/// Exceptions of an event, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    lines: Vec<String>,
    name: Option<String>,
}

impl Exceptions {
    /// Finds the lines that name exceptions, and the root cause among them.
    pub(super) fn of(args: &LogArgs) -> Self {
        let stack = args.stack.as_deref().unwrap_or_default();
        let lines: Vec<String> = stack
            .lines()
            .take(STACK_LINES)
            .filter(|line| !FRAME.is_match(line) && !line.trim().is_empty() && is_telling(line))
            .take(EXCEPTION_LINES)
            .map(|line| line.trim().chars().take(LINE_CHARS).collect())
            .collect();
        let cause =
            lines.iter().rev().find(|line| line.starts_with("Caused by")).and_then(|line| named(line));
        // Python names the exception that counts in the last line, Java in the first.
        let in_stack = || {
            let python = stack.trim_start().starts_with("Traceback");
            if python {
                lines.iter().rev().find_map(|l| named(l))
            } else {
                lines.iter().find_map(|l| named(l))
            }
        };
        let name = cause.or_else(|| named(&args.message)).or_else(in_stack);
        Self { lines, name }
    }

    /// Lines of the stack trace that name an exception or say what happened.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Short name of the root cause, `ConnectException`.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

fn is_telling(line: &str) -> bool {
    NAME.is_match(line) || line.contains("Caused by") || line.contains("panic") || line.contains("signal")
}

fn named(text: &str) -> Option<String> {
    let full = NAME.find(text)?.as_str();
    full.rsplit(['.', ':', '$']).next().map(str::to_owned)
}
