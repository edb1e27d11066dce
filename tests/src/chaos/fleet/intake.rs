//! Submissions: each is repeated until it is accepted, as a careful client does.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Program;
use super::input::Input;
use super::settings::Settings;

/// A submission that takes longer is ended and repeated.
const PATIENCE: Duration = Duration::from_secs(30);
/// A submission is accepted within this time, whatever happens.
const BOUND: Duration = Duration::from_mins(4);
/// Items in one submission at most.
const ITEMS: usize = 40;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The way in. Clones share the book of what was accepted.
#[derive(Clone)]
pub struct Intake {
    program: Program,
    folder: PathBuf,
    settings: Settings,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    accepted: Mutex<Vec<(String, u64)>>,
    next_item: AtomicUsize,
    submissions: AtomicUsize,
}

impl Intake {
    pub(super) fn new(program: Program, folder: PathBuf, settings: Settings) -> Self {
        Self { program, folder, settings, book: Arc::default() }
    }

    /// An input of so many new items, and a few that were in the one before.
    pub fn next_input(&self, items: usize) -> Input {
        const OVERLAP: usize = 3;
        let first = self.book.next_item.fetch_add(items, Ordering::SeqCst);
        Input::new(first.saturating_sub(OVERLAP)..first + items)
    }

    /// Items that were submitted or are about to be.
    pub fn items(&self) -> usize {
        self.book.next_item.load(Ordering::SeqCst)
    }

    /// Runs that were accepted, and the jobs of each.
    pub fn accepted(&self) -> Vec<(String, u64)> {
        self.book.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Submits until it is accepted.
    pub async fn submit(&self, input: &Input) {
        let file = self.write(input);
        let jobs = self.jobs_in(&file).await;
        let give_up = Instant::now() + BOUND;
        loop {
            match self.try_submit(&file, None).await {
                Ok(run) => {
                    self.book.accepted.lock().unwrap_or_else(PoisonError::into_inner).push((run, jobs));
                    return;
                }
                Err(error) => assert!(Instant::now() < give_up, "never accepted: {error}"),
            }
        }
    }

    /// Submits with a kill point in the submitting process, then until it is accepted.
    pub async fn submit_killed_at(&self, input: &Input, point: &str) {
        let killed = self.try_submit(&self.write(input), Some(point)).await;
        assert!(killed.is_err(), "the point {point} is passed");
        self.submit(input).await;
    }

    /// Keeps about so many items waiting until [`Feeder::stop`]; `done` says how many were worked on.
    pub fn feed(&self, waiting: usize, done: impl Fn() -> usize + Send + 'static) -> Feeder {
        let stop = Arc::new(AtomicBool::new(false));
        let (intake, stopped) = (self.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                if intake.items() < done() + waiting {
                    intake.submit(&intake.next_input(waiting.min(ITEMS))).await;
                }
                sleep(LOOK_EVERY).await;
            }
        });
        Feeder { stop, task }
    }

    fn write(&self, input: &Input) -> PathBuf {
        let file = self.folder.join(format!("input-{}-{}.xml", input.items.start, input.items.end));
        std::fs::write(&file, input.document()).expect("a writable folder");
        file
    }

    /// What the splitter says, with nothing recorded.
    async fn jobs_in(&self, file: &std::path::Path) -> u64 {
        let mut command = self.settings.command(&self.program, &self.folder);
        command.args(["run", "--dry-run", "--json"]).arg(file);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the program starts");
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("JSON, not {}", String::from_utf8_lossy(&output.stderr)));
        said["forecast"]["jobs"].as_u64().expect("a number")
    }

    /// The id of the accepted run, or what was said instead.
    async fn try_submit(&self, file: &std::path::Path, kill_at: Option<&str>) -> Result<String, String> {
        let number = self.book.submissions.fetch_add(1, Ordering::SeqCst);
        let log = self.folder.join(format!("submit-{number}.log"));
        let mut command = self.settings.command(&self.program, &self.folder);
        command.args(["submit", "--json"]).arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&log).expect("a writable folder"));
        if let Some(point) = kill_at {
            command.env("FLEETLINE_KILL_AT", point);
        }
        let mut child = command.spawn().expect("the program starts");
        let give_up = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            if Instant::now() > give_up {
                let _ = child.kill();
            }
            sleep(LOOK_EVERY).await;
        };
        let mut said = String::new();
        let _ = child.stdout.take().expect("a pipe").read_to_string(&mut said);
        let id =
            serde_json::from_str(&said).ok().and_then(|said: Value| Some(said["id"].as_str()?.to_owned()));
        match id {
            Some(id) if status.success() => Ok(id),
            _ => Err(format!("{status}: {said} {}", std::fs::read_to_string(&log).unwrap_or_default())),
        }
    }
}

/// Feeds until it is stopped.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Feeder {
    /// Lets the last submission be accepted.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("every submission is accepted in the end");
    }
}
