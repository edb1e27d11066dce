//! The way to the ledger, which is tried again when it fails.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{DeadReason, Decision, JobId, PortError};
use fleetline_shared::ports::{Finish, FinishLedger, Finished, Validity};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The worker's way to the ledger.
#[derive(Clone)]
pub(crate) struct Committer {
    ledger: Arc<dyn FinishLedger>,
    retries: Retries,
}

impl Committer {
    /// A ledger that fails is tried again for `patience`, or until `stop` is cancelled; meanwhile
    /// nobody gets an answer, so every slot of the worker fills up and no further call is paid for.
    pub(crate) fn new(ledger: Arc<dyn FinishLedger>, patience: Duration, stop: CancellationToken) -> Self {
        Self { ledger, retries: Retries { patience, stop } }
    }

    /// Records outcomes; answers after the commit. One that the ledger refuses would be refused again after
    /// the next call, which is paid for too: its job dies.
    pub(crate) async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, PortError> {
        let mut answers = self.record(&finishes).await?;
        let (mut places, mut deaths) = (Vec::new(), Vec::new());
        for (place, answer) in answers.iter().enumerate() {
            if let Finished::Refused(why) = answer {
                places.push(place);
                deaths.push(death(&finishes[place], why));
            }
        }
        if !deaths.is_empty() {
            for (place, answer) in places.into_iter().zip(self.record(&deaths).await?) {
                answers[place] = answer;
            }
        }
        Ok(answers)
    }

    async fn record(&self, finishes: &[Finish]) -> Result<Vec<Finished>, PortError> {
        self.retries.of(|| self.ledger.finish(finishes.to_vec())).await
    }

    /// Whether these dispatches are still the ones that count; see [`FinishLedger::validity`].
    pub(crate) async fn validity(
        &self,
        dispatches: Vec<(JobId, u64)>,
        renew_after: Duration,
    ) -> Result<Vec<Validity>, PortError> {
        self.retries.of(|| self.ledger.validity(dispatches.clone(), renew_after)).await
    }

    /// The args of a message that was too large to carry them.
    pub(crate) async fn args(&self, job: JobId) -> Result<Option<Box<RawValue>>, PortError> {
        self.retries.of(|| self.ledger.args(job)).await
    }
}

/// What becomes of a job whose outcome the ledger refuses.
fn death(refused: &Finish, why: &str) -> Finish {
    tracing::error!(job = %refused.job, why, "the ledger refuses the outcome; the job dies of it");
    let error = format!("the outcome of the attempt cannot be recorded: {why}");
    let decision = Decision::Die { reason: DeadReason::Permanent, error };
    Finish { job: refused.job, fence: refused.fence, decision, usage: refused.usage }
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
