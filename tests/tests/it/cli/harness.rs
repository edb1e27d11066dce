//! Runs the binary in a folder of its own, with nothing of this process's environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fleetline_tests::openai_spec::shared_folder;
use fleetline_tests::openai_stub::OpenAiStub;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A folder to run in, and the environment of what runs there.
pub(crate) struct Place {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    /// Empty, with no model server.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), env: Vec::new() }
    }

    /// Empty, with the stub as the model server.
    pub(crate) fn with_stub(stub: &OpenAiStub) -> Self {
        Self::new().env("OPENAI_BASE_URL", &stub.base_url()).env("OPENAI_API_KEY", "sk-very-secret")
    }

    /// One more variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a file is written");
    }

    /// The lines of a JSON lines file.
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        json_lines(&std::fs::read_to_string(self.path(name)).expect("the file is there"))
    }

    /// The command, ready to start.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetline-under-test"));
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.envs(self.env.iter().cloned());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// Runs it to its end with this standard input.
    pub(crate) fn run_fed(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("piped");
        std::thread::scope(|scope| {
            // It may end before it has read all.
            scope.spawn(move || drop(stdin.write_all(input)));
            Started { child, args: args.join(" ") }.wait()
        })
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        Started { child: self.command(args).spawn().expect("it starts"), args: args.join(" ") }
    }
}

/// A running process.
pub(crate) struct Started {
    child: Child,
    args: String,
}

impl Started {
    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it still runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ended {
        let output = self.child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        let ended = Ended {
            args: self.args,
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for sign in ["panicked", "RUST_BACKTRACE"] {
            assert!(!ended.stderr.contains(sign), "a panic: {ended:?}");
        }
        ended
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    #[expect(dead_code, reason = "shown by failing assertions")]
    args: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// With this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// With all of this on stderr.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// With all of this on stdout.
    #[track_caller]
    pub(crate) fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// Standard output as JSON lines.
    pub(crate) fn rows(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Distinct values of a text field.
pub(crate) fn distinct(rows: &[Value], field: &str) -> usize {
    let values: std::collections::BTreeSet<_> = rows.iter().map(|row| row[field].as_str()).collect();
    values.len()
}

/// Sum of a number field.
pub(crate) fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().map(|row| row[field].as_u64().expect("a number")).sum()
}

/// A log of so many lines of so many messages.
pub(crate) fn log_of(messages: usize) -> String {
    const WORDS: [&str; 8] = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron"];
    let line = |n: usize| {
        let word = |place: u32| WORDS[n / 8_usize.pow(place) % 8];
        format!("2024-05-01 10:00:00 ERROR [shop.{}] {} {} was refused\n", word(0), word(1), word(2))
    };
    (0..messages).map(line).collect()
}

/// A shipped sample.
pub(crate) fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name).display().to_string()
}

/// A file of the shared test data, if that is there.
pub(crate) fn shared_data(name: &str) -> Option<String> {
    Some(shared_folder()?.join("data").join(name).display().to_string())
}

/// Waits until the stub got so many calls.
pub(crate) fn wait_for_calls(stub: &OpenAiStub, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(stub.calls_reach(count));
}
