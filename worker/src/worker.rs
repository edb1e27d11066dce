//! The worker's loop: room, delivery, group.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fleetline_shared::domain::{PortError, Registry};
use fleetline_shared::ports::{Broker, FinishLedger, Leases, Quotas};
use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Terms;
use crate::attempt::Attempts;
use crate::committer::Committer;
use crate::flow::Flow;
use crate::guesses::GuessedQuotas;
use crate::inbox::Inbox;
use crate::intake::{Intake, Tasks};
use crate::keeper::Keeper;
use crate::others::Others;
use crate::recorder::Recorder;
use crate::trouble::Trouble;

/// Limits of a worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Calls at the same time.
    pub concurrency: usize,
    /// How long running attempts may go on after a drain was asked for.
    pub grace: Duration,
    /// How long a lease lives without renewal.
    pub lease_ttl: Duration,
    /// A job that waited on its line for longer begins the time anew after which it counts as lost.
    /// With the longest call it must fit into that time.
    pub renew_after: Duration,
    /// The longest sleep for a quota slot while a delivery is held.
    pub hold: Duration,
    /// How long a failing ledger is tried again before the worker stops.
    pub patience: Duration,
    /// No other worker takes jobs of the same ledger: what this one is not set up for, nobody is.
    pub alone: bool,
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
    /// `stop` is cancelled. Jobs that are still running then go back; their calls are made anew later.
    pub async fn run(self, drain: CancellationToken, stop: CancellationToken) -> Result<(), WorkerError> {
        let (failed, mut failures) = mpsc::channel(1);
        let tasks = Tasks::default();
        let attempts = Arc::new(self.attempts(stop.clone(), failed));
        let intake = Intake::start(&attempts, &tasks);
        tasks.spawn(go_on(Arc::clone(&self.broker), attempts.keepers()));
        let mut ended = tokio::select! {
            ended = self.take_until_drained(&intake, &drain) => ended,
            Some(error) = failures.recv() => Err(error),
        };
        // What is under way has these, and the sender of failures with them.
        drop((intake, attempts));
        if ended.is_ok() {
            tokio::select! {
                failure = failures.recv() => match failure {
                    None => return Ok(()),
                    Some(error) => ended = Err(error),
                },
                () = sleep(self.options.grace) => tracing::warn!(
                    "worker.grace is over: calls that still run, and those whose results cannot be recorded, will be made and \
                     paid for again"
                ),
                () = stop.cancelled() => {}
            }
        }
        stop.cancel();
        while let Some(error) = failures.recv().await {
            ended = ended.and(Err(error));
        }
        ended.map_err(WorkerError::Ledger)
    }

    pub(crate) fn attempts(&self, stop: CancellationToken, failed: mpsc::Sender<PortError>) -> Attempts {
        let Self { options, .. } = self;
        let committer = Committer::new(Arc::clone(&self.ledger), options.patience, stop.clone());
        let keeper = |leases| Keeper::start(Arc::clone(leases), options.lease_ttl);
        Attempts {
            registry: self.registry.clone(),
            recorder: Recorder::start(committer.clone(), failed.clone()),
            committer,
            leases: keeper(&self.leases),
            spare_leases: keeper(&self.spare_leases),
            others: (!options.alone).then(Others::default),
            quotas: Arc::new(GuessedQuotas::new(Arc::clone(&self.quotas))),
            trouble: Trouble::with("quotas"),
            terms: self.terms.clone(),
            hold: options.hold,
            renew_after: options.renew_after,
            stop,
            failed,
        }
    }

    /// Nothing is taken that cannot start soon: it stays with the broker for others.
    async fn take_until_drained(&self, intake: &Intake, drain: &CancellationToken) -> Result<(), PortError> {
        let mut inbox = Inbox::new(&self.broker, &self.registry, self.options.concurrency);
        let flow = Arc::new(Flow::new(self.options.concurrency));
        loop {
            let next = async {
                let hand = flow.take().await;
                (inbox.next(flow.ahead()).await, hand)
            };
            let (delivery, hand) = tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                next = next => next,
            };
            if !intake.take(delivery, hand) {
                return Err(PortError::Broken { port: "worker", message: "the intake has stopped".into() });
            }
        }
    }
}

/// Whenever the broker has taken deliveries back, their calls go on all the same.
async fn go_on(broker: Arc<dyn Broker>, keepers: [Weak<Keeper>; 2]) {
    loop {
        broker.took_back().await;
        let keepers: Vec<_> = keepers.iter().filter_map(Weak::upgrade).collect();
        join_all(keepers.iter().map(|keeper| keeper.go_on())).await;
    }
}

#[cfg(test)]
mod tests;
