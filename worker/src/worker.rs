//! The worker's loop: permit, delivery, task.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{PortError, Registry};
use fleetline_shared::ports::{Broker, Delivery, FinishLedger, Leases, Quotas};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempts;
use crate::committer::Committer;

/// Consumers that are gone are started again after this time.
const RECONSUME_PAUSE: Duration = Duration::from_millis(500);

/// Limits of a worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Attempts at the same time.
    pub concurrency: usize,
    /// How long running attempts may go on after a drain was asked for.
    pub grace: Duration,
    /// How long a lease lives without renewal.
    pub lease_ttl: Duration,
    /// The longest sleep for a quota slot while a delivery is held.
    pub hold: Duration,
    /// How long a failing ledger is tried again before the worker stops.
    pub patience: Duration,
}

/// Why a worker stopped before it was asked to.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// An outcome could not be recorded.
    #[error("the worker stopped, its jobs are kept: {0}")]
    Ledger(PortError),
}

/// Takes deliveries of all registered kinds and works on them.
pub struct Worker {
    /// The kinds.
    pub registry: Registry,
    /// Where outcomes go.
    pub ledger: Arc<dyn FinishLedger>,
    /// Where deliveries come from.
    pub broker: Arc<dyn Broker>,
    /// Holds on dedup keys.
    pub leases: Arc<dyn Leases>,
    /// Quotas of the upstreams.
    pub quotas: Arc<dyn Quotas>,
    /// Limits.
    pub options: WorkerOptions,
}

type Inbox = BoxStream<'static, Result<Delivery, PortError>>;

impl Worker {
    /// Works until `drain` is cancelled, then finishes what runs, within the grace period or until
    /// `stop` is cancelled. Jobs that are still running then go back unharmed.
    pub async fn run(self, drain: CancellationToken, stop: CancellationToken) -> Result<(), WorkerError> {
        let attempts = self.attempts(stop.clone());
        let (failed, mut failures) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        let ended = tokio::select! {
            () = self.take_until_drained(&attempts, &drain, &failed, &mut tasks) => Ok(()),
            Some(error) = failures.recv() => Err(WorkerError::Ledger(error)),
        };
        if ended.is_ok() && timeout(self.options.grace, finish(&mut tasks, &stop)).await.is_ok() {
            return failures.try_recv().map_or(Ok(()), |error| Err(WorkerError::Ledger(error)));
        }
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        ended
    }

    fn attempts(&self, stop: CancellationToken) -> Attempts {
        Attempts {
            registry: self.registry.clone(),
            committer: Committer::start(&self.ledger, self.options.patience, stop.clone()),
            leases: Arc::clone(&self.leases),
            quotas: Arc::clone(&self.quotas),
            lease_ttl: self.options.lease_ttl,
            hold: self.options.hold,
            stop,
        }
    }

    /// A permit is taken before a delivery, so that what this worker cannot start stays with the
    /// broker for others.
    async fn take_until_drained(
        &self,
        attempts: &Attempts,
        drain: &CancellationToken,
        failed: &mpsc::Sender<PortError>,
        tasks: &mut JoinSet<()>,
    ) {
        let permits = Arc::new(Semaphore::new(self.options.concurrency));
        let mut inbox = None;
        loop {
            while tasks.try_join_next().is_some() {}
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit.expect("the semaphore is never closed"),
                () = drain.cancelled() => return,
            };
            let delivery = tokio::select! {
                biased;
                () = drain.cancelled() => return,
                delivery = self.next_delivery(&mut inbox) => delivery,
            };
            let (attempts, failed) = (attempts.clone(), failed.clone());
            tasks.spawn(async move {
                if let Err(error) = attempts.work_on(delivery).await {
                    let _ = failed.try_send(error);
                }
                drop(permit);
            });
        }
    }

    async fn next_delivery(&self, inbox: &mut Option<Inbox>) -> Delivery {
        loop {
            if inbox.is_none() {
                match self.consume().await {
                    Ok(fresh) => *inbox = Some(fresh),
                    Err(error) => {
                        tracing::warn!(%error, "no consumers; trying again");
                        sleep(RECONSUME_PAUSE).await;
                        continue;
                    }
                }
            }
            match inbox.as_mut().expect("set above").next().await {
                Some(Ok(delivery)) => return delivery,
                Some(Err(error)) => tracing::warn!(%error, "consumers are gone; starting them again"),
                None => tracing::warn!("consumers have ended; starting them again"),
            }
            *inbox = None;
            sleep(RECONSUME_PAUSE).await;
        }
    }

    /// One stream of the deliveries of all kinds. It ends as soon as one consumer does.
    async fn consume(&self) -> Result<Inbox, PortError> {
        let mut streams = Vec::new();
        for kind in self.registry.names() {
            let deliveries = self.broker.consume(kind, self.options.concurrency).await?;
            let stream = stream::unfold(deliveries, |mut deliveries| async {
                let delivery = deliveries.next().await?;
                Some((delivery, deliveries))
            });
            let end = stream::once(async { Err(gone()) });
            streams.push(stream.chain(end).boxed());
        }
        Ok(stream::select_all(streams).boxed())
    }
}

fn gone() -> PortError {
    PortError::Unavailable { port: "broker", message: "a consumer has ended".into() }
}

/// Waits for all tasks, or for `stop`.
async fn finish(tasks: &mut JoinSet<()>, stop: &CancellationToken) {
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = stop.cancelled() => {}
    }
}
