//! How long a run waits for an upstream that is down.

use std::time::{Duration, Instant};

use fleetline_shared::ports::RunRow;

use crate::engine::RunningEngine;

/// Looks at what is left cost more than looks at the counters.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends when nothing has succeeded for so long.
pub(super) struct Patience {
    /// `None`: endless.
    limit: Option<Duration>,
    succeeded: u64,
    /// When something succeeded last, or the run began.
    since: Instant,
    looked: Option<Instant>,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, succeeded: 0, since: Instant::now(), looked: None }
    }

    /// The upstreams that are down, if the run has waited for them long enough.
    pub(super) async fn over(&mut self, row: &RunRow, engine: &RunningEngine) -> Option<Vec<String>> {
        let limit = self.limit?;
        if row.counts.succeeded != self.succeeded {
            (self.succeeded, self.since) = (row.counts.succeeded, Instant::now());
        }
        let looked_lately = self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY.min(limit));
        if self.since.elapsed() < limit || looked_lately {
            return None;
        }
        self.looked = Some(Instant::now());
        engine.held_up_by().await
    }
}
