//! Records outcomes in groups: while one commit is in flight the next group gathers.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::batcher::{Batcher, Groups};
use fleetline_shared::domain::{JobId, PortError};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Finish, FinishLedger, Finished, Validity};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Outcomes in one transaction at most, and transactions at the same time: while one waits for the disk
/// the next one works.
const FINISHES: Groups = Groups { limit: 128, width: 3 };
/// Questions in one statement at most.
const CHECKS: Groups = Groups { limit: 256, width: 2 };
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The worker's way to the ledger. Clones share one queue.
#[derive(Clone)]
pub(crate) struct Committer {
    ledger: Arc<dyn FinishLedger>,
    retries: Retries,
    finishes: Batcher<Finish, Result<Finished, PortError>>,
    checks: Batcher<(JobId, u64), Result<Validity, PortError>>,
}

impl Committer {
    /// Starts the tasks. A ledger that fails is tried again for `patience`, or until `stop` is
    /// cancelled; meanwhile nobody gets an answer, so every slot of the worker fills up and no
    /// further call is paid for.
    pub(crate) fn start(ledger: &Arc<dyn FinishLedger>, patience: Duration, stop: CancellationToken) -> Self {
        let retries = Retries { patience, stop };
        let (of_finish, of_check) = (retries.clone(), retries.clone());
        let for_finish = Arc::clone(ledger);
        let for_check = Arc::clone(ledger);
        Self {
            ledger: Arc::clone(ledger),
            retries,
            finishes: Batcher::start(FINISHES, move |finishes| {
                let (ledger, retries) = (Arc::clone(&for_finish), of_finish.clone());
                async move {
                    let count = finishes.len();
                    let answers = retries.of(|| ledger.finish(finishes.clone())).await;
                    spread(answers, count)
                }
            }),
            checks: Batcher::start(CHECKS, move |dispatches| {
                let (ledger, retries) = (Arc::clone(&for_check), of_check.clone());
                async move {
                    let count = dispatches.len();
                    let answers = retries.of(|| ledger.validity(dispatches.clone())).await;
                    spread(answers, count)
                }
            }),
        }
    }

    /// Records an outcome; answers after the commit.
    pub(crate) async fn finish(&self, finish: Finish) -> Result<Finished, PortError> {
        kill_point::reach("finish.before_commit");
        let finished = self.finishes.ask(finish).await.unwrap_or_else(|| Err(stopped()))?;
        kill_point::reach("finish.after_commit");
        Ok(finished)
    }

    /// Whether this dispatch is still the one that counts.
    pub(crate) async fn validity(&self, job: JobId, fence: u64) -> Result<Validity, PortError> {
        self.checks.ask((job, fence)).await.unwrap_or_else(|| Err(stopped()))
    }

    /// The args of a message that was too large to carry them.
    pub(crate) async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        self.retries.of(|| self.ledger.args(job)).await
    }
}

fn stopped() -> PortError {
    PortError::Broken { port: "ledger", message: "the committer has stopped".into() }
}

fn spread<T: Clone>(answers: Result<Vec<T>, PortError>, count: usize) -> Vec<Result<T, PortError>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); count],
    }
}

/// How long a failing ledger is tried again.
#[derive(Clone)]
struct Retries {
    patience: Duration,
    stop: CancellationToken,
}

impl Retries {
    async fn of<T, F>(&self, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let give_up = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error @ PortError::Invalid { .. }) => return Err(error),
                Err(error) if self.stop.is_cancelled() || Instant::now() + pause >= give_up => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "the ledger does not answer; trying again"),
            }
            // Who is stopped gets one more try, for the outcome of a call that is paid for.
            let _ = timeout(pause, self.stop.cancelled()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
