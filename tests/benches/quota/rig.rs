//! A fleet of processes whose model server is the simulator.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use fleetline_shared::rabbitmq::topology::JOBS_EXCHANGE;
use fleetline_tests::chaos::fleet::{Input, Process};
use fleetline_tests::services::{Database, PrivateServers, Urls, Vhost};
use serde_json::Value;
use tempfile::TempDir;

use super::calls::Unit;
use super::extent::Extent;
use super::provider::{PROGRAM, Provider};

/// Calls at the same time in one worker: more than any quota here needs.
const CONCURRENCY: usize = 64;

/// Servers for one fleet after the other.
pub(crate) struct Site {
    pub(crate) servers: PrivateServers,
}

impl Site {
    pub(crate) fn on(servers: PrivateServers) -> Self {
        Self { servers }
    }

    fn urls(&self) -> &Urls {
        &self.servers.urls
    }
}

/// A quota, by its amount per minute.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Requests(u64),
    Tokens(u64),
}

impl Limit {
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Requests(_) => Unit::Calls,
            Self::Tokens(_) => Unit::Tokens,
        }
    }

    /// In one window.
    pub(crate) fn amount(self, extent: &Extent) -> u64 {
        let (Self::Requests(per_minute) | Self::Tokens(per_minute)) = self;
        extent.amount(per_minute)
    }

    /// As the settings and the simulator read it.
    pub(crate) fn rate(self, extent: &Extent) -> String {
        format!("{}/{}s", self.amount(extent), extent.window.as_secs())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requests(_) => "requests",
            Self::Tokens(_) => "tokens",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(amount) => write!(f, "{amount}"),
            Self::Tokens(amount) => write!(f, "{}k", amount / 1_000),
        }
    }
}

/// The fleet, its rooms on the servers, and its provider.
pub(crate) struct Rig {
    pub(crate) provider: Provider,
    pub(crate) workers: Vec<Process>,
    serve: Option<Process>,
    environment: Vec<(String, String)>,
    database: Database,
    vhost: Vhost,
    folder: TempDir,
    started: usize,
}

impl Rig {
    /// Rooms, topology and provider, which holds its callers to the limit that the fleet is told.
    /// No `serve` and no workers yet.
    pub(crate) async fn prepare(site: &Site, extent: &Extent, limit: Limit, shape: &str) -> Self {
        let urls = site.urls();
        let folder = tempfile::tempdir().expect("a writable temporary folder");
        let rate = limit.rate(extent);
        let provider = provider(folder.path(), extent, limit, shape).await;
        let database = Database::on(&urls.postgres).await;
        let vhost = Vhost::on(&urls.rabbitmq, &urls.management).await;
        let quota = format!("FLEETLINE_UPSTREAMS__OPENAI__{}", limit.name().to_uppercase());
        let environment = [
            ("FLEETLINE_POSTGRES__URL", database.url.as_str()),
            ("FLEETLINE_REDIS__URL", &urls.redis),
            ("FLEETLINE_REDIS__PREFIX", &vhost.name),
            ("FLEETLINE_RABBITMQ__URL", &vhost.url),
            ("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management),
            ("OPENAI_BASE_URL", &format!("{}/v1", provider.url)),
            ("OPENAI_API_KEY", "a-key"),
            (&quota, &rate),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let rig = Self {
            provider,
            workers: Vec::new(),
            serve: None,
            environment,
            database,
            vhost,
            folder,
            started: 0,
        };
        rig.once(&["topology", "apply"]);
        rig
    }

    /// The same with everything running and so many jobs accepted.
    pub(crate) async fn start(
        site: &Site,
        extent: &Extent,
        limit: Limit,
        shape: &str,
        workers: usize,
        jobs: usize,
    ) -> Self {
        let mut rig = Self::prepare(site, extent, limit, shape).await;
        rig.begin(workers, jobs).await;
        rig
    }

    /// Starts everything, so many jobs accepted.
    pub(crate) async fn begin(&mut self, workers: usize, jobs: usize) {
        self.submit(jobs);
        self.serve().await;
        for _ in 0..workers {
            self.add_worker();
        }
    }

    /// One more provider; the settings do not know of it yet.
    pub(crate) async fn another_provider(&self, extent: &Extent, limit: Limit, shape: &str) -> Provider {
        let folder = self.folder.path().join("another");
        std::fs::create_dir(&folder).expect("a writable folder");
        provider(&folder, extent, limit, shape).await
    }

    /// Where `serve` listens.
    pub(crate) fn intake(&self) -> String {
        let log = self.serve.as_ref().expect("it was started").log();
        let url = log.split_once("listening on ").expect("it says so").1;
        url.split_whitespace().next().expect("a URL").to_owned()
    }

    /// What the broker's management API says of a kind's line.
    pub(crate) async fn queue(&self, kind: &str) -> Value {
        let url = format!("{}/api/queues/{}/{JOBS_EXCHANGE}.{kind}", self.vhost.management, self.vhost.name);
        let answer = reqwest::Client::new().get(url).send().await.expect("the management API answers");
        answer.json().await.expect("JSON")
    }

    /// Submits so many jobs and a few more; answers when they are accepted.
    pub(crate) fn submit(&self, jobs: usize) {
        self.submit_items(0..jobs);
    }

    /// Submits these items and a few more jobs; answers when they are accepted.
    pub(crate) fn submit_items(&self, items: Range<usize>) {
        let file = self.folder.path().join("input.xml");
        std::fs::write(&file, Input::new(items).document()).expect("a writable folder");
        self.once(&["submit", "--quiet", &file.to_string_lossy()]);
    }

    /// A setting of all processes that are started from now on.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.retain(|(name, _)| name != variable);
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    pub(crate) async fn serve(&mut self) {
        let process = self.process("serve", &["serve", "--listen", "127.0.0.1:0", "--open"]);
        process.says("listening on http://").await;
        self.serve = Some(process);
    }

    pub(crate) fn add_worker(&mut self) {
        let worker = self.process("worker", &["work", "--concurrency", &CONCURRENCY.to_string()]);
        self.workers.push(worker);
    }

    /// Ends a worker with SIGKILL.
    pub(crate) fn kill_worker(&mut self) {
        self.workers.remove(0).kill();
    }

    /// Ends the dispatcher with SIGKILL.
    pub(crate) fn kill_serve(&mut self) {
        if let Some(mut serve) = self.serve.take() {
            serve.kill();
        }
    }

    /// The database's URL, for evidence.
    pub(crate) fn database(&self) -> &str {
        &self.database.url
    }

    /// Ends all processes and removes the rooms.
    pub(crate) async fn clear(self) {
        let Self { provider, workers, serve, database, vhost, .. } = self;
        drop((workers, serve, provider));
        vhost.remove().await;
        drop(database);
    }

    fn process(&mut self, name: &str, args: &[&str]) -> Process {
        self.started += 1;
        let mut command = self.command(self.folder.path());
        Process::start(&format!("{name}-{}", self.started), command.args(args), self.folder.path())
    }

    fn once(&self, args: &[&str]) {
        let output = self.command(self.folder.path()).args(args).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder).env_clear().env("HOME", folder).envs(self.environment.iter().cloned());
        command
    }
}

/// It holds its callers to this limit.
async fn provider(folder: &Path, extent: &Extent, limit: Limit, shape: &str) -> Provider {
    let args = [
        &format!("--{}", limit.name()),
        &limit.rate(extent),
        "--limiter",
        shape,
        "--latency",
        "lognormal:200ms,0.3",
        "--output-tokens",
        "uniform:200..600",
    ];
    Provider::start(&args.map(ToOwned::to_owned), folder).await
}
