//! What a stack trace says: which exception, from which of our functions.

use super::{PYTHON, exception_class, exception_line};

/// Frames of languages' own libraries and their usual frameworks: who called is what matters.
const FOREIGN: [&str; 25] = [
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "scala.",
    "groovy.",
    "org.springframework.",
    "org.apache.catalina.",
    "org.apache.tomcat.",
    "System.",
    "Microsoft.",
    "node:",
    "internal/",
    "core::",
    "std::",
    "alloc::",
    "rust_",
    "__rust",
    "tokio::",
    "runtime.",
    "reflect.",
    "net/http.",
];
/// Folders of installed packages.
const FOREIGN_FOLDERS: [&str; 8] = [
    "site-packages",
    "dist-packages",
    "/lib/python",
    "node_modules",
    "/rustc/",
    "/go/src/",
    "/usr/local/go/",
    "node:internal",
];
/// Frames that count: more of them tell callers apart, not problems.
const FRAMES: usize = 2;
/// Causes that count.
const CAUSES: usize = 4;

/// What was thrown, by whom, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::logs) struct Thrown<'a> {
    /// The outermost exception: class and message.
    pub(in crate::logs) exception: Option<&'a str>,
    /// Classes of its causes, outermost first.
    pub(in crate::logs) causes: Vec<&'a str>,
    /// Topmost frames of our own code; the topmost of all if none is ours.
    pub(in crate::logs) frames: Vec<String>,
}

impl<'a> Thrown<'a> {
    /// Reads the joined lines of an event. Lines that are no trace say nothing.
    pub(in crate::logs) fn read(stack: &'a str) -> Self {
        match stack.rfind(PYTHON) {
            Some(last) => Self::read_python(&stack[last..]),
            None => Self::read_downwards(stack),
        }
    }

    /// Most traces: what was thrown stands first, the frames below it, innermost first.
    fn read_downwards(stack: &'a str) -> Self {
        let mut thrown = Self::default();
        let mut frames = Frames::default();
        for line in stack.lines() {
            let text = line.trim();
            let cause = text.strip_prefix("Caused by: ").or_else(|| text.strip_prefix("---> "));
            if let Some(class) = cause.and_then(exception_class) {
                if thrown.causes.len() < CAUSES {
                    thrown.causes.push(class);
                }
            } else if let Some(frame) = frame(line) {
                if thrown.causes.is_empty() {
                    frames.add(line, frame);
                }
            } else if thrown.exception.is_none() && frames.is_empty() {
                thrown.exception = exception_line(text).or_else(|| panic_reason(line, stack));
            }
        }
        thrown.frames = frames.topmost();
        thrown
    }

    /// Python writes the innermost frame last, and the exception behind it.
    fn read_python(trace: &'a str) -> Self {
        let lines = || trace.lines().skip(1);
        let exception = lines().find(|line| !line.starts_with(char::is_whitespace) && !line.is_empty());
        let mut frames = Frames::default();
        let files: Vec<_> = lines().filter_map(|line| Some((line, frame(line)?))).collect();
        for (line, frame) in files.into_iter().rev() {
            frames.add(line, frame);
        }
        Self { exception, causes: Vec::new(), frames: frames.topmost() }
    }
}

#[derive(Default)]
struct Frames {
    own: Vec<String>,
    any: Vec<String>,
}

impl Frames {
    fn add(&mut self, line: &str, frame: String) {
        let foreign = FOREIGN.iter().any(|start| frame.starts_with(start))
            || FOREIGN_FOLDERS.iter().any(|folder| line.contains(folder));
        let list = if foreign { &mut self.any } else { &mut self.own };
        if list.len() < FRAMES {
            list.push(frame);
        }
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.any.is_empty()
    }

    fn topmost(self) -> Vec<String> {
        if self.own.is_empty() { self.any } else { self.own }
    }
}

/// A frame without line numbers and arguments.
fn frame(line: &str) -> Option<String> {
    let text = line.trim();
    if let Some(python) = text.strip_prefix("File \"") {
        let (path, rest) = python.split_once('"')?;
        let function = rest.rsplit_once(" in ").map_or("", |(_, function)| function);
        return Some(format!("{} {function}", file_name(path)));
    }
    if let Some(called) = text.strip_prefix("at ") {
        let called = called.strip_prefix("async ").or_else(|| called.strip_prefix("new ")).unwrap_or(called);
        let name = called.split([' ', '(']).next().unwrap_or(called);
        let is_path = name.starts_with(['/', '.']) || name.starts_with("file:");
        return Some(if is_path { file_name(name).to_owned() } else { name.to_owned() });
    }
    if line.starts_with('\t') && text.contains(".go:") {
        return Some(file_name(text.split(' ').next().unwrap_or(text)).to_owned());
    }
    let (number, name) = text.split_once(": ")?;
    let numbered =
        line.starts_with(' ') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then(|| name.to_owned())
}

/// The last part of a path, without line and column.
fn file_name(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.split(':').next().unwrap_or(name)
}

/// The line below Rust's `thread .. panicked at ..`: the first joined line of a backtrace.
fn panic_reason<'a>(line: &'a str, stack: &str) -> Option<&'a str> {
    let first = line.as_ptr() == stack.as_ptr();
    (first && !line.starts_with(char::is_whitespace) && stack.contains("RUST_BACKTRACE")).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_names_exception_cause_and_own_frames() {
        let thrown = Thrown::read(
            "java.lang.IllegalStateException: pool exhausted\n\
             \tat java.util.Objects.requireNonNull(Objects.java:1)\n\
             \tat org.acme.Pool.take(Pool.java:12)\n\
             \tat org.acme.Api.get(Api.java:77)\n\
             \tat org.acme.Main.main(Main.java:3)\n\
             Caused by: java.io.IOException: broken pipe\n\
             \tat org.acme.Socket.read(Socket.java:5)\n\
             \t... 12 more",
        );
        assert_eq!(thrown.exception, Some("java.lang.IllegalStateException: pool exhausted"));
        assert_eq!(thrown.causes, ["java.io.IOException"]);
        assert_eq!(thrown.frames, ["org.acme.Pool.take", "org.acme.Api.get"]);
    }

    #[test]
    fn python_is_read_from_its_end() {
        let thrown = Thrown::read(
            "Traceback (most recent call last):\n  File \"/usr/lib/python3/x.py\", line 1, in call\n    f()\n\
             KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"/app/web.py\", line 4, in get\n    g()\n\
             \x20 File \"/app/db.py\", line 9, in load\n    h()\n\
             \x20 File \"/venv/site-packages/orm.py\", line 2, in run\n    i()\nacme.NotThere: row 5",
        );
        assert_eq!(thrown.exception, Some("acme.NotThere: row 5"));
        assert_eq!(thrown.frames, ["db.py load", "web.py get"]);
    }

    #[test]
    fn others_name_their_frames() {
        let go = "goroutine 1 [running]:\nmain.handler(0xc00001)\n\t/app/main.go:12 +0x1d\nexit status 2";
        assert_eq!(Thrown::read(go).frames, ["main.go"]);
        let node = "    at load (/app/x.js:1:2)\n    at /app/y.js:3:4\n    at node:internal/main:1:2";
        assert_eq!(Thrown::read(node).frames, ["load", "y.js"]);
        let dotnet = "   at Acme.Pool.Take(Int32 n) in /src/Pool.cs:line 12\n   at System.Linq.First()";
        assert_eq!(Thrown::read(dotnet).frames, ["Acme.Pool.Take"]);
        let rust = "out of rows\nstack backtrace:\n   0: rust_begin_unwind\n   1: core::panicking::panic\n   2: acme::load\nnote: run with `RUST_BACKTRACE=full`";
        let thrown = Thrown::read(rust);
        assert_eq!(
            (thrown.exception, &thrown.frames[..]),
            (Some("out of rows"), &["acme::load".to_owned()][..])
        );
    }

    #[test]
    fn details_that_are_no_trace_say_nothing() {
        assert_eq!(Thrown::read("  retries: 3\n  last: never"), Thrown::default());
    }
}
