//! Ledger to lines: keeps each line's short window filled.
//!
//! The ledger holds the backlog. A line holds only what its workers will take soon, so that a new
//! run gets its share at once and a broker never has to keep a million messages.

mod again;
mod fill;
mod line;
mod pace;
mod publishing;
mod rest;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Envelope, PortError, Weights};
use fleetline_shared::failing::Failing;
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Broker, DispatchAsk, DispatchLedger, FinishLedger, Quotas, Scope};
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use line::Line;
use pace::{Allowed, Pace};
use publishing::Publishing;
use rest::Rest;
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
    /// Upstreams whose jobs stay in the ledger while the quotas cannot be looked at, beside those that
    /// had jobs of this process before.
    pub upstreams: BTreeSet<String>,
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

/// What a round found.
struct Round {
    /// How long there is nothing to do, unless something changes.
    pause: Duration,
    /// If all lines have all that is ready and allowed: what the upstreams allow beyond that.
    nothing_left: Option<Allowed>,
}

impl Dispatcher {
    /// Dispatches until `drain` is cancelled, and answers when all that it took from the ledger is
    /// published or given back. Woken by the ledger and by the lines; a slow poll catches what both
    /// may miss. What fails is tried again: a line by itself, all of them only while the ledger is away.
    pub async fn run(self, drain: CancellationToken) {
        let mut changes = self.ledger.changes();
        let line = |kind: &String| Line::new(kind, Window::new(self.options.window));
        let mut lines: Vec<_> = self.kinds.iter().map(line).collect();
        let DispatchOptions { hold, poll, .. } = self.options;
        let mut pace = Pace::new(hold, self.options.detours.clone(), &self.options.upstreams);
        let mut publishing = Publishing::new(&self.broker, &self.finishes, drain.clone());
        let mut failing = Failing::default();
        while !drain.is_cancelled() {
            let seen = *changes.borrow_and_update();
            let round = self.round(&mut lines, &mut pace, &mut publishing).await;
            match &round {
                Ok(_) if failing.end() => tracing::info!("dispatch goes well again"),
                Err(error) if failing.begin(Instant::now() + poll) => {
                    tracing::warn!(%error, "dispatch failed; trying again");
                }
                _ => {}
            }
            let round = round.unwrap_or(Round { pause: poll, nothing_left: None });
            let mut rest =
                Rest { dispatcher: &self, lines: &mut lines, pace: &mut pace, publishing: &mut publishing };
            rest.wait(round, seen, &mut changes, &drain).await;
        }
        Rest { dispatcher: &self, lines: &mut lines, pace: &mut pace, publishing: &mut publishing }
            .finish()
            .await;
        publishing.finish().await;
    }

    /// Fills all lines once.
    async fn round(
        &self,
        lines: &mut [Line],
        pace: &mut Pace,
        publishing: &mut Publishing,
    ) -> Result<Round, PortError> {
        let poll = self.options.poll;
        let all = lines.len();
        let (mut pause, mut open) = (poll, Vec::with_capacity(all));
        for line in lines {
            line.under_way = publishing.under_way(&line.kind);
            line.is_troubled = publishing.is_troubled(&line.kind);
            // It is not looked at until its messages are through: what the broker lost meanwhile shows only then.
            line.may_lack_messages |= line.is_troubled;
            match line.rest() {
                Some(rest) => pause = pause.min(rest),
                None => open.push(line),
            }
        }
        // All is asked at the same time, and before the lines are filled: a job that becomes due in between
        // is either filled in or waited for.
        let looks = open.iter_mut().map(|line| line.look(&*self.broker, poll));
        let (due, mut allowed, seen) =
            tokio::join!(self.ledger.next_due(self.options.scope), pace.look(&*self.quotas), join_all(looks));
        pause = allowed.look_in.map_or(pause, |wait| wait.min(pause));
        let mut emptied = 0;
        for (line, _) in open.into_iter().zip(seen).filter(|(_, is_seen)| *is_seen) {
            match self.fill(line, pace, &mut allowed, publishing).await {
                Ok(has_more) => {
                    line.went_well();
                    emptied += usize::from(!has_more);
                    pause = if has_more { pause.min(line.window.next_look()) } else { pause };
                }
                // Not the line's fault: the ledger is away, and the others would wait for it in vain.
                Err(error) if due.is_err() => {
                    // Of jobs that were handed out as the answer was lost nobody has the messages.
                    line.may_lack_messages = true;
                    return Err(error);
                }
                Err(error) => line.failed(&error, poll),
            }
        }
        let pause = due?.map_or(pause, |wait| wait.min(pause));
        Ok(Round { pause, nothing_left: (emptied == all).then_some(allowed) })
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
        if !envelopes.is_empty() {
            kill_point::reach("dispatch.after_commit");
        }
        Ok(envelopes)
    }
}

/// Puts jobs on their way to the line; answers how many.
async fn hand_out(
    line: &mut Line,
    envelopes: Vec<Envelope>,
    pace: &mut Pace,
    allowed: &mut Allowed,
    publishing: &mut Publishing,
) -> usize {
    let taken = envelopes.len();
    line.waiting += taken;
    line.window.published(taken);
    pace.note(&envelopes, Instant::now());
    allowed.note(&envelopes);
    publishing.start(&line.kind, envelopes).await;
    taken
}
