//! Ledger to lines: keeps each line's short window filled.
//!
//! The ledger holds the backlog. A line holds only what its workers will take soon, so that a new
//! run gets its share at once and a broker never has to keep a million messages.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, PortError, Usage};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{
    Broker, DispatchAsk, DispatchLedger, Finish, FinishLedger, Message, Quotas, Scope,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Jobs whose publishing failed are ready again after this time.
const REPUBLISH_PAUSE: Duration = Duration::from_secs(1);

/// Limits of a dispatcher.
#[derive(Clone, Debug)]
pub struct DispatchOptions {
    /// The runs it works for.
    pub scope: Scope,
    /// Messages that may wait on a line.
    pub window: usize,
    /// The longest time between two looks at the ledger.
    pub poll: Duration,
}

/// Moves ready jobs to their lines. Several may run on one ledger.
pub struct Dispatcher {
    /// Where ready jobs are.
    pub ledger: Arc<dyn DispatchLedger>,
    /// Takes jobs back that could not be published.
    pub finishes: Arc<dyn FinishLedger>,
    /// Where they go.
    pub broker: Arc<dyn Broker>,
    /// Says which upstreams are paused.
    pub quotas: Arc<dyn Quotas>,
    /// The kinds it serves: one line each.
    pub kinds: Vec<String>,
    /// Limits.
    pub options: DispatchOptions,
}

impl Dispatcher {
    /// Dispatches until `drain` is cancelled. Woken by the ledger and by the lines; a slow poll
    /// catches what both may miss. Errors are logged and tried again.
    pub async fn run(self, drain: CancellationToken) {
        let mut changes = self.ledger.changes();
        while !drain.is_cancelled() {
            changes.mark_unchanged();
            // Asked before the lines are filled: a job that becomes due in between is either filled
            // in or waited for.
            let next_due = self.time_to_next_due().await;
            let pause = match self.fill_lines().await {
                Ok(()) => next_due,
                Err(error) => {
                    tracing::warn!(%error, "dispatch failed; trying again");
                    self.options.poll
                }
            };
            tokio::select! {
                () = drain.cancelled() => return,
                // A closed channel would wake at once for ever; then the poll does the work.
                Ok(()) = changes.changed() => {}
                () = self.broker.line_moved() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn fill_lines(&self) -> Result<(), PortError> {
        for kind in &self.kinds {
            while self.fill(kind).await? {}
        }
        Ok(())
    }

    /// Fills one line. `true`: the ledger gave all that was asked for, there may be more room.
    async fn fill(&self, kind: &str) -> Result<bool, PortError> {
        let room = self.options.window.saturating_sub(self.broker.depth(kind).await?.ready);
        if room == 0 {
            return Ok(false);
        }
        let ask = DispatchAsk {
            scope: self.options.scope,
            kind: kind.to_owned(),
            limit: room,
            skip_upstreams: self.paused_upstreams().await?,
        };
        let envelopes = self.ledger.dispatch(ask).await?;
        kill_point::reach("dispatch.after_commit");
        let dispatched = envelopes.len();
        self.publish(envelopes).await?;
        kill_point::reach("dispatch.published");
        Ok(dispatched == room)
    }

    async fn publish(&self, envelopes: Vec<Envelope>) -> Result<(), PortError> {
        let messages = envelopes
            .iter()
            .map(|envelope| Message {
                line: envelope.kind.clone(),
                id: envelope.job_id,
                body: envelope.encode(),
            })
            .collect();
        let answers = self.broker.publish(messages).await;
        // An error is ambiguous: the broker may have the message. The next dispatch raises the
        // fence, so an old message that arrives after all changes nothing.
        let back: Vec<_> = envelopes
            .iter()
            .zip(answers)
            .filter_map(|(envelope, answer)| Some(put_back(envelope, &answer.err()?)))
            .collect();
        if !back.is_empty() {
            self.finishes.finish(back).await?;
        }
        Ok(())
    }

    async fn paused_upstreams(&self) -> Result<Vec<String>, PortError> {
        let reports = self.quotas.report().await?;
        Ok(reports
            .into_iter()
            .filter(|report| report.paused.is_some())
            .map(|report| report.upstream)
            .collect())
    }

    /// Until the next retry or the end of a pause, the poll interval at most.
    async fn time_to_next_due(&self) -> Duration {
        let due = self.ledger.next_due(self.options.scope).await.ok().flatten();
        let resumed = self.quotas.report().await.unwrap_or_default().into_iter();
        let resumed = resumed.filter_map(|report| report.paused).map(|(wait, _)| wait);
        resumed.chain(due).min().unwrap_or(self.options.poll).min(self.options.poll)
    }
}

fn put_back(envelope: &Envelope, error: &PortError) -> Finish {
    tracing::warn!(%error, job = %envelope.job_id, "a job could not be published; it goes back");
    Finish {
        job: envelope.job_id,
        fence: envelope.fence,
        decision: Decision::Snooze { delay: REPUBLISH_PAUSE, why: format!("not published: {error}") },
        usage: Usage::default(),
    }
}
