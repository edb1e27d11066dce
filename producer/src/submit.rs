//! Jobs on their way from a splitter to the ledger, in batches.

use std::convert::Infallible;
use std::time::Duration;

use fleetline_shared::domain::{IfLeft, NewJob, PortError, RunId};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Added, SubmitLedger};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Jobs in one transaction at most, by number and by size of their args.
const BATCH_JOBS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Time between two signs that an input is read. A run counts as left after many of them.
pub const SIGN_EVERY: Duration = Duration::from_secs(20);
/// The same if the ledger did not take the last one: it may be back, and its sweepers with it.
const SIGN_AGAIN: Duration = Duration::from_secs(2);

/// Says of the run that its input is read, for as long as `reading` takes; `if_left`: what becomes of it if this process
/// dies meanwhile.
pub async fn while_reading<T>(
    ledger: &dyn SubmitLedger,
    run: RunId,
    if_left: IfLeft,
    reading: impl Future<Output = T>,
) -> T {
    tokio::select! {
        read = reading => read,
        never = say_so(ledger, run, if_left) => match never {},
    }
}

async fn say_so(ledger: &dyn SubmitLedger, run: RunId, if_left: IfLeft) -> Infallible {
    loop {
        let said = ledger.still_reading(run, if_left).await;
        if let Err(error) = &said {
            tracing::debug!(%run, %error, "the ledger does not know that the input is still read");
        }
        sleep(if said.is_ok() { SIGN_EVERY } else { SIGN_AGAIN }).await;
    }
}

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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use fleetline_shared::domain::NewRun;
    use fleetline_shared::ports::{OpenedRun, Seal};
    use serde_json::Value;
    use tokio::time::Instant;

    use super::*;

    /// Notes when it is told that an input is read, and is away for a while.
    struct Notes {
        since: Instant,
        away: std::ops::Range<Duration>,
        signs: Mutex<Vec<Duration>>,
    }

    #[async_trait]
    impl SubmitLedger for Notes {
        async fn open_run(&self, _: NewRun) -> Result<OpenedRun, PortError> {
            unreachable!("it is open")
        }

        async fn add_jobs(&self, _: RunId, _: Vec<NewJob>) -> Result<Added, PortError> {
            unreachable!("nothing is added")
        }

        async fn still_reading(&self, _: RunId, if_left: IfLeft) -> Result<(), PortError> {
            assert_eq!(if_left, IfLeft::Sealed);
            let now = self.since.elapsed();
            if self.away.contains(&now) {
                return Err(PortError::Unavailable { port: "ledger", message: "it is away".into() });
            }
            self.signs.lock().unwrap().push(now);
            Ok(())
        }

        async fn seal_run(&self, _: RunId, _: Seal) -> Result<(), PortError> {
            unreachable!("it stays open")
        }

        async fn submit_run(&self, _: NewRun, _: Vec<NewJob>, _: Value) -> Result<OpenedRun, PortError> {
            unreachable!("it is open")
        }

        async fn run_of_key(&self, _: &str, _: &str) -> Result<Option<RunId>, PortError> {
            unreachable!("it has none")
        }
    }

    /// However slow the input is; after the ledger was away as soon as it is back.
    #[tokio::test(start_paused = true)]
    async fn an_input_that_is_read_is_told_of_again_and_again() {
        let seconds = Duration::from_secs;
        let ledger =
            Notes { since: Instant::now(), away: seconds(30)..seconds(301), signs: Mutex::default() };
        let run = RunId::new();
        let read = while_reading(&ledger, run, IfLeft::Sealed, async {
            sleep(seconds(350)).await;
            "all"
        });
        assert_eq!(read.await, "all");
        assert_eq!(*ledger.signs.lock().unwrap(), [0, 20, 302, 322, 342].map(seconds));
        sleep(seconds(100)).await;
        assert_eq!(ledger.signs.lock().unwrap().len(), 5, "and not after its end");
    }
}
