//! Ledger to lines: keeps each line's short window filled.
//!
//! The ledger holds the backlog. A line holds only what its workers will take soon, so that a new
//! run gets its share at once and a broker never has to keep a million messages.

mod pace;
mod publishing;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Envelope, PortError, Weights};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Broker, DispatchAsk, DispatchLedger, FinishLedger, Quotas, Scope};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use pace::{Allowed, Pace};
use publishing::Publishing;
use window::Window;
pub use window::WindowBounds;

/// Jobs in one transaction and one burst of messages, at most.
const BATCH: usize = 512;

/// Limits of a dispatcher.
#[derive(Clone, Debug)]
pub struct DispatchOptions {
    /// The runs it works for.
    pub scope: Scope,
    /// Messages that may wait on a line.
    pub window: WindowBounds,
    /// The longest time between two looks at the ledger.
    pub poll: Duration,
    /// The longest wait for quota that workers sleep through.
    pub hold: Duration,
    /// How tenants share the lines.
    pub weights: Weights,
    /// Upstreams whose jobs are handed out while the breaker is open: workers do something else with
    /// them than to call.
    pub detours: BTreeSet<String>,
}

/// Moves ready jobs to their lines. Several may run on one ledger.
pub struct Dispatcher {
    /// Where ready jobs are.
    pub ledger: Arc<dyn DispatchLedger>,
    /// Takes jobs back that could not be published.
    pub finishes: Arc<dyn FinishLedger>,
    /// Where they go.
    pub broker: Arc<dyn Broker>,
    /// Says how much the upstreams allow.
    pub quotas: Arc<dyn Quotas>,
    /// The kinds it serves: one line each.
    pub kinds: Vec<String>,
    /// Limits.
    pub options: DispatchOptions,
}

/// One line, as this dispatcher knows it.
struct Line {
    kind: String,
    window: Window,
}

impl Dispatcher {
    /// Dispatches until `drain` is cancelled, and answers when all that it took from the ledger is
    /// published or given back. Woken by the ledger and by the lines; a slow poll catches what both
    /// may miss. Errors are logged and tried again.
    pub async fn run(self, drain: CancellationToken) {
        let mut changes = self.ledger.changes();
        let mut lines: Vec<_> = self
            .kinds
            .iter()
            .map(|kind| Line { kind: kind.clone(), window: Window::new(self.options.window) })
            .collect();
        let mut pace = Pace::new(self.options.hold, self.options.detours.clone());
        let mut publishing = Publishing::new(&self.broker, &self.finishes, drain.clone());
        while !drain.is_cancelled() {
            changes.mark_unchanged();
            let pause = match self.round(&mut lines, &mut pace, &mut publishing).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "dispatch failed; trying again");
                    self.options.poll
                }
            };
            tokio::select! {
                () = drain.cancelled() => {}
                // A closed channel would wake at once for ever; then the poll does the work.
                Ok(()) = changes.changed() => {}
                () = self.broker.line_moved() => {}
                () = sleep(pause) => {}
            }
        }
        publishing.finish().await;
    }

    /// Fills all lines once; returns how long there is nothing to do, unless something changes.
    async fn round(
        &self,
        lines: &mut [Line],
        pace: &mut Pace,
        publishing: &mut Publishing,
    ) -> Result<Duration, PortError> {
        // Asked before the lines are filled: a job that becomes due in between is either filled in
        // or waited for.
        let due = self.ledger.next_due(self.options.scope).await?;
        let mut allowed = pace.look(&*self.quotas).await?;
        let look_in = allowed.look_in.into_iter().chain(due).min();
        let mut pause = look_in.map_or(self.options.poll, |wait| wait.min(self.options.poll));
        for line in lines {
            if self.fill(line, pace, &mut allowed, publishing).await? {
                pause = pause.min(line.window.next_look());
            }
        }
        Ok(pause)
    }

    /// Fills one line. `true`: the ledger may have more for it than there is room.
    async fn fill(
        &self,
        line: &mut Line,
        pace: &mut Pace,
        allowed: &mut Allowed,
        publishing: &mut Publishing,
    ) -> Result<bool, PortError> {
        if publishing.is_troubled(&line.kind) {
            return Ok(true);
        }
        // In this order: what lands in between is counted twice, and not as taken.
        let under_way = publishing.under_way(&line.kind);
        let ready = self.broker.depth(&line.kind).await?.ready;
        line.window.look(Instant::now(), ready, under_way);
        let mut waiting = ready + under_way;
        // First what has no limit, then the others, each as far as it may.
        let limited: Vec<_> = allowed.some.keys().cloned().collect();
        for upstream in std::iter::once(None).chain(limited.into_iter().map(Some)) {
            loop {
                let room = line.window.size().saturating_sub(waiting);
                // Not for a handful: a transaction and a burst of messages have a price of their own.
                if room == 0 || room < line.window.size() / 4 {
                    return Ok(true);
                }
                let limit = room.min(BATCH).min(allowed.jobs(upstream.as_deref()));
                if limit == 0 {
                    break;
                }
                let envelopes = self.take(&line.kind, limit, allowed.others(upstream.as_deref())).await?;
                let taken = envelopes.len();
                waiting += taken;
                line.window.published(taken);
                pace.note(&envelopes, Instant::now());
                allowed.note(&envelopes);
                publishing.start(&line.kind, envelopes).await;
                if taken < limit {
                    break;
                }
            }
        }
        Ok(false)
    }

    async fn take(
        &self,
        kind: &str,
        limit: usize,
        skip_upstreams: Vec<String>,
    ) -> Result<Vec<Envelope>, PortError> {
        let ask = DispatchAsk {
            scope: self.options.scope,
            kind: kind.to_owned(),
            limit,
            skip_upstreams,
            weights: self.options.weights.clone(),
        };
        let envelopes = self.ledger.dispatch(ask).await?;
        kill_point::reach("dispatch.after_commit");
        Ok(envelopes)
    }
}
