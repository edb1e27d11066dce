//! Finds what fell between ledger and line, and puts it back.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::ports::{DispatchLedger, Scope};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Limits of a sweeper.
#[derive(Clone, Copy, Debug)]
pub struct SweepOptions {
    /// Time between two rounds.
    pub every: Duration,
    /// Dispatched for longer means lost. Must exceed every kind's timeout.
    pub stale_after: Duration,
    /// A job lost so often is dead.
    pub max_losses: u16,
}

/// Sweeps until `drain` is cancelled.
pub async fn run(ledger: Arc<dyn DispatchLedger>, options: SweepOptions, drain: CancellationToken) {
    loop {
        tokio::select! {
            () = drain.cancelled() => return,
            () = sleep(options.every) => {}
        }
        match ledger.sweep(Scope::All, options.stale_after, options.max_losses).await {
            Ok(swept) if swept.requeued + swept.crash_looped > 0 => {
                tracing::warn!(requeued = swept.requeued, dead = swept.crash_looped, "lost jobs were found");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sweep failed; trying again later"),
        }
    }
}
