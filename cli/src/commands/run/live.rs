//! A run while it goes on: jobs come in, results come out, people watch.

use std::ops::ControlFlow;
use std::time::Duration;

use fleetline_producer::submit::submit;
use fleetline_shared::domain::{NewJob, NewRun, RunState};
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::{DispatchLedger, OpenedRun, QueryLedger, RunRow, Scope, Seal, SubmitLedger};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, SplitEnd};
use crate::app::App;
use crate::engine::{Embedded, RunningEngine};
use crate::exit::{CliError, INTERRUPTED};
use crate::signals::Signals;
use crate::ui::progress::{Meter, Progress};

/// Jobs between splitter and ledger at most: bounds the memory.
const CHANNEL: usize = 256;
/// Time between two looks at the counters, at most.
const TICK: Duration = Duration::from_millis(100);

/// How a run ended for this process.
pub enum Ended {
    /// All its jobs are terminal.
    Finished(RunRow),
    /// The user stopped it; what ran is recorded.
    Interrupted(RunRow),
    /// The user stopped it before any job was accepted.
    NothingAccepted,
}

/// Splits the input, submits its jobs, and works until the run is finished or interrupted.
pub async fn run_plan(
    app: &App,
    embedded: &Embedded,
    plan: Plan,
    new_run: NewRun,
) -> Result<(Ended, Option<String>), CliError> {
    let mut signals = Signals::new()?;
    let halt = CancellationToken::new();
    let (jobs, mut inbox) = mpsc::channel(CHANNEL);
    let splitting = start_splitting(plan, jobs, halt.clone());

    // The run is opened when its first job is there: an input that cannot be read leaves no trace.
    let first = tokio::select! {
        job = inbox.recv() => job,
        () = signals.asked_to_stop() => {
            halt.cancel();
            return Ok((Ended::NothingAccepted, None));
        }
    };
    let Some(first) = first else { return Err(no_jobs(splitting.await)) };
    let opened = embedded.ledger.open_run(new_run).await?;
    app.say(&announcement(opened));

    let engine = embedded.start(app.registry().clone(), app.engine_options(), Scope::Run(opened.id));
    let submission = Submission { ledger: embedded.ledger.clone(), opened, halt: halt.clone(), splitting };
    let submitting = Some(tokio::spawn(submission.run(first, inbox)));
    Following { app, ledger: &embedded.ledger, opened, submitting, halt, problem: None }
        .run(engine, signals)
        .await
}

/// Works on the accepted jobs of a run until it is finished or interrupted.
pub async fn resume(app: &App, embedded: &Embedded, run: &RunRow) -> Result<Ended, CliError> {
    if run.state == RunState::Open {
        // Its input is not at hand: what was accepted is all there will be.
        let seal = Seal { occurrences: Vec::new(), notes: run.notes.clone() };
        embedded.ledger.seal_run(run.id, seal).await?;
    }
    let opened = OpenedRun { id: run.id, resumed: true };
    let engine = embedded.start(app.registry().clone(), app.engine_options(), Scope::Run(run.id));
    let halt = CancellationToken::new();
    let following =
        Following { app, ledger: &embedded.ledger, opened, submitting: None, halt, problem: None };
    Ok(following.run(engine, Signals::new()?).await?.0)
}

fn announcement(opened: OpenedRun) -> String {
    let verb = if opened.resumed { "resuming run" } else { "run" };
    format!("{verb} {}", opened.id)
}

fn no_jobs(split: Result<Result<SplitEnd, CliError>, tokio::task::JoinError>) -> CliError {
    match split {
        Ok(Err(error)) => error,
        Ok(Ok(end)) => {
            CliError::Failure(end.problem.unwrap_or_else(|| "the input holds nothing to analyse".into()))
        }
        Err(error) => CliError::Failure(format!("the splitter stopped: {error}")),
    }
}

type Splitting = JoinHandle<Result<SplitEnd, CliError>>;

fn start_splitting(plan: Plan, jobs: mpsc::Sender<NewJob>, halt: CancellationToken) -> Splitting {
    spawn_blocking(move || {
        plan.split(&mut |job| {
            if halt.is_cancelled() || jobs.blocking_send(job).is_err() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    })
}

/// The way from the splitter into the ledger.
struct Submission {
    ledger: SqliteLedger,
    opened: OpenedRun,
    halt: CancellationToken,
    splitting: Splitting,
}

impl Submission {
    /// Adds all jobs, then seals the run. An input that was not read to its end by the user's will
    /// leaves the run open: the same command goes on. Returns the input's problem, if it has one.
    async fn run(self, first: NewJob, inbox: mpsc::Receiver<NewJob>) -> Result<Option<String>, CliError> {
        let added = submit(&self.ledger, self.opened.id, first, inbox).await;
        if added.is_err() {
            self.halt.cancel();
        }
        let split =
            self.splitting.await.map_err(|error| CliError::Failure(format!("the splitter stopped: {error}")));
        added?;
        let end = split??;
        if self.halt.is_cancelled() {
            return Ok(None);
        }
        let seal = Seal { occurrences: end.occurrences, notes: end.notes };
        self.ledger.seal_run(self.opened.id, seal).await?;
        Ok(end.problem)
    }
}

/// Looks at the run's counters until they are complete.
struct Following<'a> {
    app: &'a App,
    ledger: &'a SqliteLedger,
    opened: OpenedRun,
    submitting: Option<JoinHandle<Result<Option<String>, CliError>>>,
    halt: CancellationToken,
    problem: Option<String>,
}

/// Why the following ended.
enum Stop {
    Finished,
    Asked,
    Failed(CliError),
}

impl Following<'_> {
    async fn run(
        mut self,
        mut engine: RunningEngine,
        mut signals: Signals,
    ) -> Result<(Ended, Option<String>), CliError> {
        let mut line = self.app.meter();
        let stop = self.until_stop(&mut engine, &mut signals, &mut line).await?;
        drop(line);
        self.halt.cancel();
        if matches!(stop, Stop::Asked) {
            self.app.say("finishing what is under way; Ctrl-C again leaves at once");
        }
        let drained = tokio::select! {
            drained = engine.drain() => drained,
            () = signals.asked_to_stop() => std::process::exit(i32::from(INTERRUPTED)),
        };
        if let Some(submitting) = self.submitting.take() {
            let _ = submitting.await;
        }
        match stop {
            Stop::Failed(error) => return Err(error),
            Stop::Finished | Stop::Asked => drained?,
        }
        let row = self.row().await?;
        let finished = row.state == RunState::Finished;
        Ok((if finished { Ended::Finished(row) } else { Ended::Interrupted(row) }, self.problem))
    }

    async fn until_stop(
        &mut self,
        engine: &mut RunningEngine,
        signals: &mut Signals,
        line: &mut Meter,
    ) -> Result<Stop, CliError> {
        let mut changes = self.ledger.changes();
        loop {
            let row = self.row().await?;
            line.update(&progress_of(&row, engine).await);
            if row.state == RunState::Finished {
                return Ok(Stop::Finished);
            }
            tokio::select! {
                () = signals.asked_to_stop() => return Ok(Stop::Asked),
                error = engine.failed() => return Ok(Stop::Failed(error.into())),
                submitted = submitted(&mut self.submitting) => match submitted {
                    Ok(problem) => self.problem = problem,
                    Err(error) => return Ok(Stop::Failed(error)),
                },
                _ = changes.changed() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    async fn row(&self) -> Result<RunRow, CliError> {
        let row = self.ledger.run(self.opened.id).await?;
        row.ok_or_else(|| CliError::Failure(format!("run {} is gone from the database", self.opened.id)))
    }
}

/// Resolves when the submission has ended; never if there is none.
async fn submitted(
    submitting: &mut Option<JoinHandle<Result<Option<String>, CliError>>>,
) -> Result<Option<String>, CliError> {
    let Some(task) = submitting else { return std::future::pending().await };
    let ended = task.await;
    *submitting = None;
    ended.map_err(|error| CliError::Failure(format!("the submission stopped: {error}")))?
}

async fn progress_of(row: &RunRow, engine: &RunningEngine) -> Progress {
    Progress {
        total: (row.state != RunState::Open).then_some(row.counts.jobs),
        done: row.counts.terminal(),
        reused: row.counts.reused,
        dead: row.counts.dead,
        retries: row.counts.retries,
        running: engine.running().await,
        waiting_for: engine.waiting_for().await,
    }
}
