//! Jobs on their way from a splitter to the ledger, in batches.

use fleetline_shared::domain::{NewJob, PortError, RunId};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Added, SubmitLedger};
use tokio::sync::mpsc;

/// Jobs in one transaction at most, by number and by size of their args.
const BATCH_JOBS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Adds `first` and all jobs that come through the channel.
///
/// Whatever is waiting goes as one batch: a slow splitter's jobs start at once, a fast one's share
/// a commit. On an error the channel is closed, so that the splitter stops.
pub async fn submit(
    ledger: &dyn SubmitLedger,
    run: RunId,
    first: NewJob,
    mut rest: mpsc::Receiver<NewJob>,
) -> Result<Added, PortError> {
    let mut total = Added::default();
    let mut waiting = vec![first];
    // What the splitter has found meanwhile shares the first commit.
    while waiting.len() < BATCH_JOBS
        && let Ok(job) = rest.try_recv()
    {
        waiting.push(job);
    }
    loop {
        while !waiting.is_empty() {
            let batch = take_batch(&mut waiting);
            kill_point::reach("submit.before_commit");
            total += ledger.add_jobs(run, batch).await?;
            kill_point::reach("submit.after_commit");
        }
        if rest.recv_many(&mut waiting, BATCH_JOBS).await == 0 {
            return Ok(total);
        }
    }
}

/// From the front, as many jobs as fit; at least one.
fn take_batch(waiting: &mut Vec<NewJob>) -> Vec<NewJob> {
    let mut bytes = 0;
    let fits = waiting
        .iter()
        .take_while(|job| {
            bytes += job.args.get().len();
            bytes <= BATCH_BYTES
        })
        .count();
    waiting.drain(..fits.max(1)).collect()
}
