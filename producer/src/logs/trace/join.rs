//! Which line belongs to the event before it.

use super::{PYTHON, exception_line};

/// Lines that start so are part of a trace wherever they stand.
const PARTS: [&str; 12] = [
    "Caused by:",
    "Suppressed:",
    "... ",
    "--- End of ",
    "---> ",
    "During handling of the above exception",
    "The above exception was the direct cause",
    "goroutine ",
    "[signal ",
    "stack backtrace:",
    "note: run with `RUST_BACKTRACE",
    "note: Some details are omitted",
];
/// Lines that start so end a dump that is already under way.
const ENDINGS: [&str; 3] = ["created by ", "exit status ", "Process finished"];
const CLOSERS: [&str; 8] = ["}", "]", ")", "};", "})", "});", "],", "},"];

/// Remembers in what kind of trace the current event is.
#[derive(Clone, Debug, Default)]
pub(in crate::logs) struct Joiner {
    /// The event's first line had a time or a level.
    headed: bool,
    /// The next line that is not indented names the exception (Python), or says why (Rust).
    last_line_follows: bool,
    /// Function names stand on lines of their own (Go).
    dump: bool,
}

impl Joiner {
    /// The state after an event's first line.
    pub(in crate::logs) fn start(message: &str, headed: bool) -> Self {
        let panic =
            message.starts_with("thread '") && message.contains(" panicked at ") && message.ends_with(':');
        Self { headed, last_line_follows: panic || message.starts_with(PYTHON), dump: false }
    }

    /// Whether a line without a header of its own belongs to the event.
    pub(in crate::logs) fn joins(&mut self, line: &str) -> bool {
        if line.starts_with([' ', '\t']) {
            return true;
        }
        if line.starts_with(PYTHON) {
            let joins = self.headed || self.dump;
            self.last_line_follows = joins;
            return joins;
        }
        if std::mem::take(&mut self.last_line_follows) {
            self.dump = true;
            return true;
        }
        if PARTS.iter().any(|part| line.starts_with(part)) {
            self.dump = true;
            return true;
        }
        let in_dump = self.dump && (line.ends_with(')') || ENDINGS.iter().any(|end| line.starts_with(end)));
        let thrown = self.headed && exception_line(line).is_some();
        let frame = line.starts_with("at ") && line.contains(['(', ':']);
        in_dump || thrown || frame || CLOSERS.contains(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many lines join the first.
    fn joined(headed: bool, lines: &[&str]) -> usize {
        let mut joiner = Joiner::start(lines[0], headed);
        lines[1..].iter().take_while(|line| joiner.joins(line)).count()
    }

    #[test]
    fn traces_join_whole() {
        let java = [
            "Request failed",
            "java.lang.IllegalStateException: pool exhausted",
            "\tat org.acme.Pool.take(Pool.java:12)",
            "Caused by: java.io.IOException: broken pipe",
            "\t... 12 more",
            "\tSuppressed: java.lang.Error",
        ];
        let python = [
            "Internal Server Error: /x",
            "Traceback (most recent call last):",
            "  File \"/app/a.py\", line 1, in f",
            "KeyError: 'a'",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            "  File \"/app/b.py\", line 1, in g",
            "acme.errors.NotThere: a",
        ];
        let go = [
            "panic: runtime error: index out of range",
            "goroutine 1 [running]:",
            "main.handler(0xc000012345)",
            "\t/app/main.go:12 +0x1d",
            "created by main.main",
            "exit status 2",
        ];
        let rust = [
            "thread 'main' panicked at src/main.rs:5:10:",
            "called `Result::unwrap()` on an `Err` value",
            "stack backtrace:",
            "   0: rust_begin_unwind",
            "note: run with `RUST_BACKTRACE=full`",
        ];
        let node = ["TypeError: x is not a function", "    at f (/app/x.js:1:2)", "}"];
        let dotnet = [
            "Unhandled exception. System.Exception: no",
            " ---> System.IO.IOException: x",
            "   at A.B() in /a/b.cs:line 3",
            "   --- End of inner exception stack trace ---",
        ];
        for (headed, lines) in [
            (true, &java[..]),
            (true, &python[..]),
            (false, &go[..]),
            (false, &rust[..]),
            (false, &node[..]),
            (false, &dotnet[..]),
        ] {
            assert_eq!(joined(headed, lines), lines.len() - 1, "{lines:?}");
        }
    }

    #[test]
    fn other_lines_stand_alone() {
        assert_eq!(joined(true, &["Started", "Listening on 8080"]), 0);
        assert_eq!(joined(false, &["Started", "ValueError: bad"]), 0);
        assert_eq!(joined(false, &["Started", "Traceback (most recent call last):"]), 0);
        assert_eq!(joined(true, &["Started", "at noon we stop"]), 0);
    }
}
