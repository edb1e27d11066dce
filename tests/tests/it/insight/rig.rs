//! A small fleet: simulator, `serve`, `work`, on rooms of its own.

use std::process::{Command, Output};

use fleetline_tests::chaos::fleet::{Input, Process};
use fleetline_tests::services::{self, Database, Vhost};
use serde_json::Value;
use tempfile::TempDir;

pub(super) struct Rig {
    folder: TempDir,
    environment: Vec<(String, String)>,
    database: Database,
    vhost: Vhost,
    control: String,
    processes: Vec<Process>,
}

impl Rig {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let urls = services::shared();
        let folder = tempfile::tempdir().expect("a writable temporary folder");
        let mut command = Command::new(PROGRAM);
        command.args([
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--requests",
            "600/min",
        ]);
        let simulator = Process::start("simulator", &mut command, folder.path());
        simulator.says("answering").await;
        let log = simulator.log();
        let mut addresses = log.lines().filter(|line| line.starts_with("http://")).map(ToOwned::to_owned);
        let (provider, control) = addresses.next().zip(addresses.next()).expect("two addresses");
        let (database, vhost) = (Database::new().await, Vhost::new().await);
        let environment = [
            ("FLEETLINE_POSTGRES__URL", database.url.as_str()),
            ("FLEETLINE_REDIS__URL", &urls.redis),
            ("FLEETLINE_REDIS__PREFIX", &vhost.name),
            ("FLEETLINE_RABBITMQ__URL", &vhost.url),
            ("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management),
            ("OPENAI_BASE_URL", &format!("{provider}/v1")),
            ("OPENAI_API_KEY", "a-key"),
            ("FLEETLINE_UPSTREAMS__OPENAI__REQUESTS", "600/min"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let processes = vec![simulator];
        let rig = Self { folder, environment, database, vhost, control, processes };
        rig.output(&["topology", "apply"]);
        rig
    }

    /// One more setting of all that starts from now on.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts `serve`; returns where its metrics are.
    pub(super) async fn serve(&mut self) -> String {
        self.watched(&["serve", "--listen", "127.0.0.1:0", "--open", "--metrics", "127.0.0.1:0"]).await
    }

    /// Starts `work`; returns where its metrics are.
    pub(super) async fn work(&mut self) -> String {
        self.watched(&["work", "--metrics", "127.0.0.1:0"]).await
    }

    async fn watched(&mut self, args: &[&str]) -> String {
        let mut command = self.command();
        let process = Process::start(args[0], command.args(args), self.folder.path());
        let address = process.says("metrics on ").await;
        self.processes.push(process);
        address
    }

    pub(super) fn submit(&self, jobs: usize) {
        let file = self.folder.path().join("input.xml");
        std::fs::write(&file, Input::new(0..jobs).document()).expect("a writable folder");
        self.output(&["submit", "--quiet", &file.to_string_lossy()]);
    }

    pub(super) fn json(&self, args: &[&str]) -> Value {
        self.lines(args).pop().expect("a line")
    }

    pub(super) fn lines(&self, args: &[&str]) -> Vec<Value> {
        let text = String::from_utf8(self.output(args).stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn output(&self, args: &[&str]) -> Output {
        let output = self.command().args(args).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        output
    }

    /// Of a command that finds no Redis.
    pub(super) fn without_redis(&self, args: &[&str]) -> Output {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
        let mut command = self.command();
        command.env("FLEETLINE_REDIS__URL", format!("redis://{nobody}/")).args(args);
        command.output().expect("the program starts")
    }

    /// A command that goes on until it is dropped.
    pub(super) fn watch(&self, args: &[&str]) -> Process {
        Process::start("watch", self.command().args(args), self.folder.path())
    }

    /// What `doctor` says with these settings more.
    pub(super) fn doctor(&self, settings: &[(&str, &str)]) -> String {
        let output = self.command().envs(settings.iter().copied()).arg("doctor").output();
        String::from_utf8(output.expect("the program starts").stdout).expect("UTF-8")
    }

    /// Calls that the provider answered.
    pub(super) async fn calls(&self) -> u64 {
        let ledger = reqwest::get(format!("{}/ledger", self.control)).await.expect("an answer");
        ledger.text().await.expect("a ledger").lines().count() as u64
    }

    pub(super) async fn end(self) {
        let Self { processes, database, vhost, .. } = self;
        drop(processes);
        vhost.remove().await;
        drop(database);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        let folder = self.folder.path();
        command.current_dir(folder).env_clear().env("HOME", folder).envs(self.environment.iter().cloned());
        command
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleetline-under-test");
