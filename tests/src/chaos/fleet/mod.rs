//! A whole fleet as processes: `serve` and `work` behind proxies, a provider that keeps a book.

mod input;
mod intake;
mod links;
mod process;
mod settings;
mod site;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

pub use self::input::Input;
pub use self::intake::{Feeder, Intake};
pub use self::links::{Links, Role};
pub use self::process::Process;
use self::settings::Settings;
use self::site::Rooms;
pub use self::site::{Program, Site};
use super::checker::{Disturbance, Story};
use super::evidence::{BrokerView, PostgresView, TerminalWatch};
use super::until;
use crate::openai_stub::OpenAiStub;
use crate::services::{Server, Urls};

/// Calls at the same time in one worker.
pub const CONCURRENCY: usize = 4;
/// Progress that must come comes within this time.
const PROGRESS: Duration = Duration::from_mins(2);

/// What a fleet is made of.
pub struct Plan<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its servers.
    pub site: &'a Arc<Site>,
    /// How long the provider takes for a call.
    pub latency: Duration,
    /// Settings beyond the usual ones of these tests.
    pub settings: &'a [(&'a str, &'a str)],
}

/// The fleet.
pub struct Fleet {
    /// Its servers.
    pub site: Arc<Site>,
    /// The provider.
    pub stub: Arc<OpenAiStub>,
    /// The way in.
    pub intake: Intake,
    /// `fleetline serve`.
    pub serves: Vec<Process>,
    /// `fleetline work`.
    pub workers: Vec<Process>,
    /// What happened.
    pub story: Story,
    /// Times at which a server answered again, by name: recovery is measured from there.
    pub server_restarts: Vec<(String, SystemTime)>,
    /// Times at which workers were killed.
    pub worker_kills: Vec<Instant>,
    /// Terminal rows as they were first seen.
    pub watch: TerminalWatch,
    program: Program,
    serve_links: Links,
    work_links: Links,
    serve_settings: Settings,
    work_settings: Settings,
    rooms: Rooms,
    folder: TempDir,
    started: usize,
}

impl Fleet {
    /// Rooms on the servers, their schema and topology; no processes yet.
    pub async fn prepare(plan: Plan<'_>) -> Self {
        let rooms = Rooms::make(plan.site.urls()).await;
        let stub = Arc::new(OpenAiStub::with_latency(plan.latency));
        let (serve_links, work_links) = (Links::start(&rooms.urls).await, Links::start(&rooms.urls).await);
        let base = Settings::new(plan.settings).with(&[
            ("OPENAI_BASE_URL", &stub.base_url()),
            ("FLEETLINE_REDIS__PREFIX", &rooms.prefix),
            ("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &rooms.urls.management),
        ]);
        let serve_settings = by_links(&base, &serve_links, &rooms.urls);
        let work_settings = by_links(&base, &work_links, &rooms.urls);
        let folder = tempfile::tempdir().expect("a writable temporary folder");
        let fleet = Self {
            site: Arc::clone(plan.site),
            intake: Intake::new(plan.program.clone(), folder.path().to_owned(), serve_settings.clone()),
            watch: TerminalWatch::start(&rooms.urls.postgres),
            stub,
            serves: Vec::new(),
            workers: Vec::new(),
            story: Story::default(),
            server_restarts: Vec::new(),
            worker_kills: Vec::new(),
            program: plan.program.clone(),
            serve_links,
            work_links,
            serve_settings,
            work_settings,
            rooms,
            folder,
            started: 0,
        };
        fleet.once(&["migrate"]);
        fleet.once(&["topology", "apply"]);
        fleet
    }

    /// Runs a command to its end.
    fn once(&self, args: &[&str]) {
        let mut command = self.serve_settings.command(&self.program, self.folder.path());
        let output = command.args(args).output().expect("the program starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// The proxies of a role.
    pub fn links(&self, role: Role) -> &Links {
        match role {
            Role::Serve => &self.serve_links,
            Role::Work => &self.work_links,
        }
    }

    /// By direct ways, for observers.
    pub fn urls(&self) -> &Urls {
        &self.rooms.urls
    }

    /// Prefix of the fleet's keys in Redis.
    pub fn redis_prefix(&self) -> &str {
        &self.rooms.prefix
    }

    /// Adds a `serve`, and waits until it listens.
    pub async fn add_serve(&mut self, more: &[(&str, &str)]) {
        let process = self.start_serve(more);
        process.says("listening on http://").await;
        self.serves.push(process);
    }

    /// Starts a `serve` that is not expected to live.
    pub fn start_serve(&mut self, more: &[(&str, &str)]) -> Process {
        let settings = self.serve_settings.with(more);
        self.start("serve", &settings, &["serve", "--listen", "127.0.0.1:0", "--open"])
    }

    /// Starts a `work`; returns its place.
    pub fn add_worker(&mut self, more: &[(&str, &str)]) -> usize {
        let settings = self.work_settings.with(more);
        let concurrency = CONCURRENCY.to_string();
        let process = self.start("worker", &settings, &["work", "--concurrency", &concurrency]);
        self.workers.push(process);
        self.workers.len() - 1
    }

    fn start(&mut self, name: &str, settings: &Settings, args: &[&str]) -> Process {
        self.started += 1;
        let mut command = settings.command(&self.program, self.folder.path());
        Process::start(&format!("{name}-{}", self.started), command.args(args), self.folder.path())
    }

    /// Kills a worker with SIGKILL and notes it. It is not started again.
    pub fn kill_worker(&mut self, place: usize) {
        let from = Instant::now();
        self.workers.remove(place).kill();
        self.worker_kills.push(from);
        self.disturbed("a worker was killed", from, CONCURRENCY);
    }

    /// Lets a worker finish what it has begun, and end.
    pub async fn drain_worker(&mut self, place: usize) {
        let mut leaving = self.workers.remove(place);
        leaving.signal(Signal::TERM);
        leaving.ended_well().await;
    }

    /// Starts a new worker for each that has died by a signal since then.
    pub async fn revive(&mut self, since: Instant, more: &[(&str, &str)]) {
        let dead = |process: &mut Process| !process.is_running();
        while let Some(place) = self.workers.iter_mut().position(dead) {
            self.workers.remove(place).killed_itself().await;
            self.disturbed("a worker died", since, CONCURRENCY);
            self.add_worker(more);
        }
    }

    /// Notes a fault that began at `from` and is over now, as far as what was under way goes.
    pub fn disturbed(&mut self, what: &str, from: Instant, calls_at_risk: usize) {
        let until = Instant::now();
        self.story.disturbances.push(Disturbance { what: what.to_owned(), from, until, calls_at_risk });
    }

    /// Notes that a server answers again from now on.
    pub fn answers_again(&mut self, server: Server) {
        self.server_restarts.push((format!("{server:?}"), SystemTime::now()));
    }

    /// Calls that are under way at most.
    pub fn all_calls(&self) -> usize {
        self.workers.len() * CONCURRENCY
    }

    /// Waits until the provider gets so many more calls.
    pub async fn more_calls(&self, count: usize) {
        let wanted = self.stub.call_count() + count;
        let what = format!("{count} more calls");
        until(&what, PROGRESS, async || (self.stub.call_count() >= wanted).then_some(())).await;
    }

    /// Waits until so many more jobs are terminal.
    pub async fn more_finished(&self, count: u64) {
        let what = format!("{count} more finished jobs");
        let mut wanted = None;
        until(&what, PROGRESS, async || {
            let mut view = PostgresView::open(&self.urls().postgres).await?;
            let terminal = view.terminal().await?;
            let wanted = *wanted.get_or_insert(terminal + count);
            (terminal >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until all that was accepted is terminal and nothing waits anywhere.
    pub async fn quiet(&self) {
        let jobs: u64 = self.intake.accepted().iter().map(|(_, jobs)| jobs).sum();
        until("all accepted jobs are terminal, no event waits", PROGRESS, async || {
            let mut view = PostgresView::open(&self.urls().postgres).await?;
            (view.is_quiet().await? && view.terminal().await? >= jobs).then_some(())
        })
        .await;
        until("the lines are empty", PROGRESS, async || {
            let view = BrokerView::open(&self.urls().rabbitmq).await?;
            let lines = view.lines().await;
            lines.iter().all(|(_, waiting)| *waiting == 0).then_some(())
        })
        .await;
    }

    /// Asks all processes to end, which they do in good order.
    pub async fn drain(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.serves) {
            process.signal(Signal::TERM);
        }
        for process in self.workers.iter_mut().chain(&mut self.serves) {
            process.ended_well().await;
        }
    }

    /// Removes its rooms.
    pub async fn clear(self) {
        let Self { rooms, serves, workers, .. } = self;
        drop((serves, workers));
        rooms.clear().await;
    }
}

fn by_links(base: &Settings, links: &Links, urls: &Urls) -> Settings {
    base.with(&[
        ("FLEETLINE_POSTGRES__URL", &links.by(Server::Postgres, &urls.postgres)),
        ("FLEETLINE_REDIS__URL", &links.by(Server::Redis, &urls.redis)),
        ("FLEETLINE_RABBITMQ__URL", &links.by(Server::RabbitMq, &urls.rabbitmq)),
    ])
}
