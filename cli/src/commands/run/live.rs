//! A run while it goes on: jobs come in, results come out, people watch.

use std::time::Duration;

use fleetline_shared::domain::{NewRun, RunId, RunState};
use fleetline_shared::ports::{OpenedRun, RunRow, Scope};
use fleetline_worker::WorkerError;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::patience::Patience;
use super::plan::Plan;
use super::submission::{self, Submission};
use super::unread;
use crate::app::App;
use crate::backend::Backend;
use crate::engine::RunningEngine;
use crate::exit::{CliError, INTERRUPTED};
use crate::patient::RunLedger;
use crate::signals::Signals;
use crate::ui::progress::{Meter, Progress};

/// Time between two looks at the counters, at most.
const TICK: Duration = Duration::from_millis(100);
/// Who was told to stop waits so long for the last look at the counters.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How a run ended for this process.
pub enum Ended {
    /// All its jobs are terminal.
    Finished(RunRow),
    /// The user stopped it; what ran is recorded.
    Interrupted(RunRow),
    /// The user stopped following this run of the fleet while its ledger was away.
    LeftAway(RunId),
    /// These upstreams are down, and all that is left needs them.
    GaveUp(RunRow, Vec<String>),
    /// The user stopped it before any job was accepted.
    NothingAccepted,
}

/// Splits the input, submits its jobs, and works until the run is finished or interrupted.
pub async fn run_plan(
    app: &App,
    backend: &Backend,
    ledger: &RunLedger,
    plan: Plan,
    new_run: NewRun,
) -> Result<Ended, CliError> {
    let mut signals = Signals::new()?;
    let submitting = submission::start(ledger.jobs.clone(), plan, new_run, &mut signals);
    let Some(submission) = submitting.await? else {
        return Ok(Ended::NothingAccepted);
    };
    app.say(&announcement(submission.opened));
    let engine = backend.start(app, Scope::Run(submission.opened.id));
    let Submission { opened, halt, task } = submission;
    Following { app, ledger: ledger.clone(), opened, submitting: Some(task), halt }.run(engine, signals).await
}

/// Works on the accepted jobs of a run until it is finished or interrupted.
pub async fn resume(
    app: &App,
    backend: &Backend,
    ledger: &RunLedger,
    run: &RunRow,
) -> Result<Ended, CliError> {
    if run.state == RunState::Open {
        ledger.jobs.seal_run(run.id, unread::seal(app, run)?).await?;
    }
    follow(app, ledger, run, backend.start(app, Scope::Run(run.id))).await
}

/// Shows the progress of a run that others work on.
pub async fn watch(app: &App, ledger: &RunLedger, run: &RunRow) -> Result<Ended, CliError> {
    follow(app, ledger, run, None).await
}

async fn follow(
    app: &App,
    ledger: &RunLedger,
    run: &RunRow,
    engine: Option<RunningEngine>,
) -> Result<Ended, CliError> {
    let opened = OpenedRun { id: run.id, resumed: true };
    let halt = CancellationToken::new();
    let following = Following { app, ledger: ledger.clone(), opened, submitting: None, halt };
    following.run(engine, Signals::new()?).await
}

fn announcement(opened: OpenedRun) -> String {
    let verb = if opened.resumed { "resuming run" } else { "run" };
    format!("{verb} {}", opened.id)
}

/// Looks at the run's counters until they are complete.
struct Following<'a> {
    app: &'a App,
    ledger: RunLedger,
    opened: OpenedRun,
    submitting: Option<JoinHandle<Result<Option<String>, CliError>>>,
    halt: CancellationToken,
}

/// Why the following ended.
enum Stop {
    Finished,
    Asked,
    /// These upstreams are down.
    HeldUp(Vec<String>),
    Failed(CliError),
}

impl Following<'_> {
    async fn run(
        mut self,
        mut engine: Option<RunningEngine>,
        mut signals: Signals,
    ) -> Result<Ended, CliError> {
        let mut line = self.app.meter();
        let stop = self.until_stop(&mut engine, &mut signals, &mut line).await?;
        drop(line);
        self.halt.cancel();
        let by_others = engine.is_none();
        let asked = matches!(stop, Stop::Asked);
        if asked && !by_others {
            self.app.say("finishing what is under way; Ctrl-C again leaves at once");
        }
        let drained = tokio::select! {
            drained = drain(engine) => drained,
            () = signals.asked_to_stop() => std::process::exit(i32::from(INTERRUPTED)),
        };
        if let Some(submitting) = self.submitting.take() {
            let _ = submitting.await;
        }
        let down = match stop {
            Stop::Failed(error) => return Err(error),
            Stop::Finished | Stop::Asked => None,
            Stop::HeldUp(down) => Some(down),
        };
        drained?;
        let patience = if asked && by_others { LAST_LOOK } else { Duration::MAX };
        let Ok(row) = timeout(patience, self.row()).await else {
            return Ok(Ended::LeftAway(self.opened.id));
        };
        let row = row?;
        Ok(match down {
            _ if row.state == RunState::Finished => Ended::Finished(row),
            Some(down) => Ended::GaveUp(row, down),
            None => Ended::Interrupted(row),
        })
    }

    async fn until_stop(
        &mut self,
        engine: &mut Option<RunningEngine>,
        signals: &mut Signals,
        line: &mut Meter,
    ) -> Result<Stop, CliError> {
        let mut changes = self.ledger.changes.clone();
        let mut patience = Patience::new(self.app.config().run.give_up_after);
        loop {
            let row = tokio::select! {
                row = self.row() => row?,
                () = signals.asked_to_stop() => return Ok(Stop::Asked),
            };
            line.update(&progress_of(&row, engine.as_ref()).await);
            if row.state == RunState::Finished {
                return Ok(Stop::Finished);
            }
            // What is not submitted yet would be lost to a resumed run.
            if self.submitting.is_none()
                && let Some(engine) = engine.as_ref()
                && let Some(down) = patience.over(&row, engine).await
            {
                return Ok(Stop::HeldUp(down));
            }
            tokio::select! {
                () = signals.asked_to_stop() => return Ok(Stop::Asked),
                error = failed(engine) => return Ok(Stop::Failed(error.into())),
                submitted = submitted(&mut self.submitting) => if let Err(error) = submitted {
                    return Ok(Stop::Failed(error));
                },
                _ = changes.changed() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    async fn row(&self) -> Result<RunRow, CliError> {
        let row = self.ledger.query.run(self.opened.id).await?;
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

/// Resolves if this process's engine stops by itself.
async fn failed(engine: &mut Option<RunningEngine>) -> WorkerError {
    match engine {
        Some(engine) => engine.failed().await,
        None => std::future::pending().await,
    }
}

async fn drain(engine: Option<RunningEngine>) -> Result<(), WorkerError> {
    match engine {
        Some(engine) => engine.drain().await,
        None => Ok(()),
    }
}

async fn progress_of(row: &RunRow, engine: Option<&RunningEngine>) -> Progress {
    let (running, waiting_for) = match engine {
        Some(engine) => (engine.running().await, engine.waiting_for().await),
        None => (0, None),
    };
    Progress {
        cancelled: row.is_cancelling(),
        total: (row.state != RunState::Open).then_some(row.counts.jobs),
        done: row.counts.terminal(),
        reused: row.counts.reused,
        dead: row.counts.dead,
        retries: row.counts.retries,
        running,
        waiting_for,
    }
}
