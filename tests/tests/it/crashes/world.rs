//! An input, a database and a stub, and the program under test as a process.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fleetline_tests::openai_stub::OpenAiStub;
use tempfile::TempDir;

/// Nodes of the input that differ.
const ITEMS: usize = 7;

pub(super) struct World {
    pub stub: OpenAiStub,
    pub folder: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_latency_ms(0)
    }

    pub(super) fn with_latency_ms(latency: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("order.xml"), order()).expect("an input");
        Self { stub: OpenAiStub::with_latency(Duration::from_millis(latency)), folder }
    }

    pub(super) fn db(&self) -> PathBuf {
        self.folder.path().join("fleetline.db")
    }

    /// Runs the command to its end, or to its kill point.
    pub(super) fn run(&self, args: &[&str], kill_at: Option<&str>) -> Output {
        self.command(args, kill_at).output().expect("the program starts")
    }

    /// Kills the program from outside when the stub has got so many more calls, or after the
    /// program's start if it is 0. `false`: it ended before.
    pub(super) fn kill_after_calls(&self, more: usize, concurrency: usize) -> bool {
        let wanted = self.stub.call_count() + more;
        let args = ["--concurrency", &concurrency.to_string()];
        let mut command = self.command(&args, None);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        let killed = loop {
            if child.try_wait().expect("a child").is_some() {
                break false;
            }
            if self.stub.call_count() >= wanted {
                child.kill().expect("our own child");
                break true;
            }
            std::thread::yield_now();
        };
        child.wait().expect("a child");
        killed
    }

    fn command(&self, args: &[&str], kill_at: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetline-under-test"));
        command
            .current_dir(self.folder.path())
            .args(["run", "order.xml", "--quiet"])
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("OPENAI_BASE_URL", self.stub.base_url())
            .env("OPENAI_API_KEY", "a-key");
        if let Some(point) = kill_at {
            command.env("FLEETLINE_KILL_AT", point);
        }
        command
    }
}

/// Items that differ, one twice, and what holds them.
fn order() -> String {
    let mut items = String::new();
    for n in (1..=ITEMS).chain([1]) {
        write!(items, "<Item><Name>thing {n}</Name><Price><Total>{n}.50</Total></Price></Item>")
            .expect("a string takes text");
    }
    format!("<Order OrderID='O1'><Buyer>somebody</Buyer><Items>{items}</Items></Order>")
}
