//! A process of the fleet.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::chaos::until;

/// A process that was asked to end, or is about to end by itself, does so within this time.
const END: Duration = Duration::from_mins(1);
/// Lines of a log that are shown when a test fails.
const SHOWN: usize = 60;

/// A running process. Dropped, it is killed; if the test is failing, the end of its log is shown.
pub struct Process {
    /// For people: `worker-2`.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its log in this folder.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a writable folder");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Self { name: name.to_owned(), child, log }
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; nothing if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            let _ = kill_process(self.pid(), signal);
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("our own child");
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        until(&what, END, async || self.child.try_wait().expect("our own child")).await
    }

    /// Waits for its end in good order.
    pub async fn ended_well(&mut self) {
        let status = self.ended().await;
        assert!(status.success(), "{} ends in good order: {status}\n{}", self.name, self.log_end());
    }

    /// Waits until it has killed itself at its kill point.
    pub async fn killed_itself(&mut self) {
        let status = self.ended().await;
        assert_eq!(status.signal(), Some(9), "{} passes its kill point:\n{}", self.name, self.log_end());
    }

    /// Waits for a line of its log that holds this text; answers what follows the text.
    pub async fn says(&self, text: &str) -> String {
        let what = format!("`{text}` in the log of {}", self.name);
        until(&what, END, async || {
            let log = self.log();
            let line = log.lines().find_map(|line| line.split_once(text))?;
            Some(line.1.to_owned())
        })
        .await
    }

    /// All it has written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- end of the log of {}:\n{}", self.name, self.log_end());
        }
    }
}
