//! Finds what fell between ledger and line, and puts it back.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{DispatchLedger, Scope};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long the ledger must have answered before anything counts as lost. Calls that ended while
/// it was away report first: their workers try again every few seconds.
pub const SETTLING: Duration = Duration::from_secs(10);

/// Limits of a sweeper.
#[derive(Clone, Copy, Debug)]
pub struct SweepOptions {
    /// Time between two rounds.
    pub every: Duration,
    /// Dispatched for longer means lost. Must exceed every kind's timeout.
    pub stale_after: Duration,
    /// A job lost so often is dead.
    pub max_losses: u16,
    /// A run whose input nobody reads for longer is ended. `None`: it waits for whoever began it.
    pub left_after: Option<Duration>,
}

/// Sweeps until `drain` is cancelled. At the start and after the ledger was away it only asks,
/// until the ledger has answered for [`SETTLING`] without a gap.
pub async fn run(ledger: Arc<dyn DispatchLedger>, options: SweepOptions, drain: CancellationToken) {
    let settling = SETTLING.min(options.stale_after);
    let mut answering_since: Option<Instant> = None;
    loop {
        tokio::select! {
            () = drain.cancelled() => return,
            () = sleep(options.every) => {}
        }
        let answered = match answering_since {
            Some(since) if since.elapsed() >= settling => sweep(&*ledger, options).await,
            _ => ledger.next_due(Scope::All).await.map(drop),
        };
        match answered {
            Ok(()) => answering_since = answering_since.or_else(|| Some(Instant::now())),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the ledger did not do all that it should; lost jobs are looked for when it has answered for a while"
                );
                answering_since = None;
            }
        }
    }
}

async fn sweep(ledger: &dyn DispatchLedger, options: SweepOptions) -> Result<(), PortError> {
    let swept = ledger.sweep(Scope::All, options.stale_after, options.max_losses).await?;
    if swept.requeued + swept.crash_looped > 0 {
        tracing::warn!(requeued = swept.requeued, dead = swept.crash_looped, "lost jobs were found");
    }
    if swept.expired > 0 {
        tracing::warn!(dead = swept.expired, "deadlines passed while jobs waited to be handed out");
    }
    if let Some(left_after) = options.left_after {
        ledger.end_left(left_after).await?;
    }
    Ok(())
}
