//! The way from an input into the ledger: split, add in batches, seal.

use std::ops::ControlFlow;
use std::sync::Arc;

use fleetline_producer::submit::{submit, while_reading};
use fleetline_shared::domain::{IfLeft, NewJob, NewRun};
use fleetline_shared::ports::{OpenedRun, Seal, SubmitLedger};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, SplitEnd};
use crate::exit::CliError;
use crate::signals::Signals;

/// Jobs between splitter and ledger at most: bounds the memory.
const CHANNEL: usize = 256;

/// A submission under way.
pub struct Submission {
    /// Its run.
    pub opened: OpenedRun,
    /// Stops it; the run stays open.
    pub halt: CancellationToken,
    /// Ends when the run is sealed, with the input's problem if what came before it is kept.
    pub task: JoinHandle<Result<Option<String>, CliError>>,
}

/// Opens the run when its first job is there: an input that cannot be read leaves no trace. `None`:
/// the user stopped it before.
pub(crate) async fn start(
    ledger: Arc<dyn SubmitLedger>,
    plan: Plan,
    new_run: NewRun,
    signals: &mut Signals,
) -> Result<Option<Submission>, CliError> {
    let halt = CancellationToken::new();
    let (jobs, mut inbox) = mpsc::channel(CHANNEL);
    let splitting = start_splitting(plan, jobs, halt.clone());
    let opening = async {
        match inbox.recv().await {
            Some(first) => Ok(Some((first, ledger.open_run(new_run).await?))),
            None => Ok::<_, CliError>(None),
        }
    };
    let opened = tokio::select! {
        opened = opening => opened?,
        () = signals.asked_to_stop() => {
            halt.cancel();
            return Ok(None);
        }
    };
    let Some((first, opened)) = opened else { return Err(no_jobs(splitting.await)) };
    let adding = Adding { ledger, opened, halt: halt.clone(), splitting };
    Ok(Some(Submission { opened, halt, task: tokio::spawn(adding.run(first, inbox)) }))
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

/// What the submission's task needs.
struct Adding {
    ledger: Arc<dyn SubmitLedger>,
    opened: OpenedRun,
    halt: CancellationToken,
    splitting: Splitting,
}

impl Adding {
    /// Adds all jobs, then seals the run. An input that was not read to its end by the user's will
    /// leaves the run open. Returns the input's problem, if it has one.
    async fn run(self, first: NewJob, inbox: mpsc::Receiver<NewJob>) -> Result<Option<String>, CliError> {
        let (halt, ledger, run) = (self.halt.clone(), Arc::clone(&self.ledger), self.opened.id);
        tokio::select! {
            biased;
            // Neither for a ledger that is away, nor for a pipe that nobody writes to.
            () = halt.cancelled() => Ok(None),
            ended = while_reading(&*ledger, run, IfLeft::Sealed, self.add_all(first, inbox)) => ended,
        }
    }

    async fn add_all(self, first: NewJob, inbox: mpsc::Receiver<NewJob>) -> Result<Option<String>, CliError> {
        submit(&*self.ledger, self.opened.id, first, inbox).await?;
        let split =
            self.splitting.await.map_err(|error| CliError::Failure(format!("the splitter stopped: {error}")));
        let end = split??;
        if self.halt.is_cancelled() {
            return Ok(None);
        }
        let seal = Seal { occurrences: end.occurrences, notes: end.notes };
        self.ledger.seal_run(self.opened.id, seal).await?;
        Ok(end.problem)
    }
}
