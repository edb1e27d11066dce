//! The worker's loop: room, delivery, task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{PortError, Registry};
use fleetline_shared::ports::{Broker, FinishLedger, Leases, Quotas};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Terms;
use crate::attempt::Attempts;
use crate::committer::Committer;
use crate::flow::Flow;
use crate::guesses::GuessedQuotas;
use crate::inbox::Inbox;

/// Limits of a worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Calls at the same time.
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
    /// The same for jobs that need no server for it: those that call nobody, and those of upstreams
    /// that are called while the fleet's servers are out of reach.
    pub spare_leases: Arc<dyn Leases>,
    /// Quotas of the upstreams.
    pub quotas: Arc<dyn Quotas>,
    /// What is settled about the upstreams' calls; those that are missing have the usual terms.
    pub terms: BTreeMap<String, Terms>,
    /// Limits.
    pub options: WorkerOptions,
}

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

    fn attempts(&self, stop: CancellationToken) -> Arc<Attempts> {
        Arc::new(Attempts {
            flow: Arc::new(Flow::new(self.options.concurrency)),
            registry: self.registry.clone(),
            committer: Committer::start(&self.ledger, self.options.patience, stop.clone()),
            leases: Arc::clone(&self.leases),
            spare_leases: Arc::clone(&self.spare_leases),
            quotas: Arc::new(GuessedQuotas::new(Arc::clone(&self.quotas))),
            terms: self.terms.clone(),
            lease_ttl: self.options.lease_ttl,
            hold: self.options.hold,
            stop,
        })
    }

    /// Nothing is taken that cannot start soon: it stays with the broker for others.
    async fn take_until_drained(
        &self,
        attempts: &Arc<Attempts>,
        drain: &CancellationToken,
        failed: &mpsc::Sender<PortError>,
        tasks: &mut JoinSet<()>,
    ) {
        let mut inbox = Inbox::new(&self.broker, &self.registry, self.options.concurrency);
        let flow = &attempts.flow;
        loop {
            while tasks.try_join_next().is_some() {}
            let next = async {
                let in_hand = flow.take().await;
                (in_hand, inbox.next(flow.ahead()).await)
            };
            let (in_hand, delivery) = tokio::select! {
                biased;
                () = drain.cancelled() => return,
                next = next => next,
            };
            let (attempts, failed) = (Arc::clone(attempts), failed.clone());
            tasks.spawn(async move {
                // What an attempt takes in memory is free again before the rest, which has time.
                match Box::pin(attempts.work_on(delivery, in_hand)).await {
                    Ok(leaving) => leaving.done().await,
                    Err(error) => drop(failed.try_send(error)),
                }
            });
        }
    }
}

/// Waits for all tasks, or for `stop`.
async fn finish(tasks: &mut JoinSet<()>, stop: &CancellationToken) {
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = stop.cancelled() => {}
    }
}
