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
use futures_util::future::try_join_all;
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
    /// Messages that may not be on it yet.
    under_way: usize,
    /// Messages for it fail and are tried again: until they are through there are to be no further ones.
    is_troubled: bool,
    /// Messages that wait on it or are under way.
    waiting: usize,
    /// Which of the upstreams with few jobs had some last.
    last_scarce: Option<String>,
}

impl Line {
    fn new(kind: &str, window: Window) -> Self {
        Self {
            kind: kind.to_owned(),
            window,
            under_way: 0,
            is_troubled: false,
            waiting: 0,
            last_scarce: None,
        }
    }

    /// Looks how much waits. What lands after `under_way` was counted is counted twice, and not as taken.
    async fn look(&mut self, broker: &dyn Broker) -> Result<(), PortError> {
        let ready = broker.depth(&self.kind).await?.ready;
        self.window.look(Instant::now(), ready, self.under_way);
        self.waiting = ready + self.under_way;
        Ok(())
    }

    /// Jobs that may be handed out at once. `None`: no more than a handful, but a transaction and a burst of
    /// messages have a price of their own.
    fn room(&self) -> Option<usize> {
        let room = self.window.size().saturating_sub(self.waiting);
        (room > 0 && room >= self.window.size() / 4).then_some(room.min(BATCH))
    }
}

impl Dispatcher {
    /// Dispatches until `drain` is cancelled, and answers when all that it took from the ledger is
    /// published or given back. Woken by the ledger and by the lines; a slow poll catches what both
    /// may miss. Errors are logged and tried again.
    pub async fn run(self, drain: CancellationToken) {
        let mut changes = self.ledger.changes();
        let line = |kind: &String| Line::new(kind, Window::new(self.options.window));
        let mut lines: Vec<_> = self.kinds.iter().map(line).collect();
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
        for line in &mut *lines {
            line.under_way = publishing.under_way(&line.kind);
            line.is_troubled = publishing.is_troubled(&line.kind);
        }
        // All is asked at the same time, and before the lines are filled: a job that becomes due in between
        // is either filled in or waited for.
        let looks = lines.iter_mut().filter(|line| !line.is_troubled).map(|line| line.look(&*self.broker));
        let (due, mut allowed, _) = tokio::try_join!(
            self.ledger.next_due(self.options.scope),
            pace.look(&*self.quotas),
            try_join_all(looks)
        )?;
        let look_in = allowed.look_in.into_iter().chain(due).min();
        let mut pause = look_in.map_or(self.options.poll, |wait| wait.min(self.options.poll));
        for line in lines {
            if line.is_troubled || self.fill(line, pace, &mut allowed, publishing).await? {
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
        // First all that may have more jobs than there is room for, together.
        let mut scarce = loop {
            let Some(room) = line.room() else { return Ok(true) };
            let (scarce, skip) = allowed.fewer_than(room);
            let envelopes = self.take(&line.kind, room, skip).await?;
            let taken = hand_out(line, envelopes, pace, allowed, publishing).await;
            if taken < room {
                break scarce;
            }
        };
        // Then the others in turn, each as far as it may: there may not be room for all.
        let had_theirs = scarce.partition_point(|name| Some(name) <= line.last_scarce.as_ref());
        scarce.rotate_left(had_theirs);
        for upstream in &scarce {
            loop {
                let Some(room) = line.room() else { return Ok(true) };
                let limit = room.min(allowed.jobs(upstream));
                if limit == 0 {
                    break;
                }
                let envelopes = self.take(&line.kind, limit, allowed.others(upstream)).await?;
                line.last_scarce = Some(upstream.clone());
                if hand_out(line, envelopes, pace, allowed, publishing).await < limit {
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
