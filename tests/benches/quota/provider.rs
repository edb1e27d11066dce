//! The simulator as a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fleetline_tests::chaos::fleet::Process;
use reqwest::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::calls::{Call, Calls};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_fleetline-under-test");
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running provider.
pub(crate) struct Provider {
    /// Where calls go.
    pub(crate) url: String,
    control: String,
    client: Client,
    process: Process,
}

impl Provider {
    pub(crate) async fn start(args: &[String], folder: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).args(args);
        let process = Process::start("simulator", &mut command, folder);
        process.says("answering").await;
        let log = process.log();
        let mut urls = log.lines().filter(|line| line.starts_with("http://")).map(ToOwned::to_owned);
        let (url, control) = urls.next().zip(urls.next()).expect("two addresses");
        Self { url, control, client: Client::new(), process }
    }

    /// Sets faults whose times count from now.
    pub(crate) async fn fails(&self, faults: &str) {
        let set = self.client.post(format!("{}/faults", self.control)).body(faults.to_owned()).send().await;
        assert!(set.expect("the simulator answers").status().is_success(), "{faults}");
    }

    /// Seconds of CPU time that it has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        /// Clock ticks in a second on every Linux that Rust knows.
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        ticks.sum::<f64>() / TICKS
    }

    /// All calls so far.
    pub(crate) async fn calls(&self) -> Calls {
        let text =
            self.client.get(format!("{}/ledger", self.control)).send().await.expect("it answers").text();
        let text = text.await.expect("a whole ledger");
        let line = |line| serde_json::from_str::<Call>(line).expect("a line of the ledger");
        Calls(text.lines().map(line).collect())
    }

    pub(crate) async fn summary(&self) -> Value {
        let url = format!("{}/ledger?summary", self.control);
        let answer = self.client.get(url).send().await.expect("it answers");
        answer.json().await.expect("JSON")
    }

    /// Waits until the summary is as wanted; `false` if it is not in time.
    pub(crate) async fn reaches(&self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> bool {
        let give_up = Instant::now() + patience;
        while !wanted(&self.summary().await) {
            if Instant::now() > give_up {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }
}
