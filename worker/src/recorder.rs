//! The end of a job's way: commit, acknowledge, release, in this order. Outcomes are recorded in groups:
//! while one commit is in flight the next group gathers.

use std::time::Duration;

use fleetline_shared::batcher::{Batcher, Groups};
use fleetline_shared::domain::{JobId, PortError};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Delivery, Finished};
use tokio::sync::mpsc;

use crate::committer::Committer;
use crate::gate::Settling;
use crate::job::Ended;
use crate::keeper::{HeldLease, release};

/// Outcomes in one transaction at most, and transactions at the same time: while one waits for the disk
/// the next one works.
const FINISHES: Groups = Groups { limit: 128, width: 3 };

/// Records outcomes.
pub(crate) struct Recorder(Batcher<Ended, ()>);

impl Recorder {
    /// Starts the task. `failed` is told when outcomes cannot be recorded, and is kept until all that is
    /// recorded is acknowledged and given back.
    pub(crate) fn start(committer: Committer, failed: mpsc::Sender<PortError>) -> Self {
        Self(Batcher::start(FINISHES, move |group: Vec<Ended>| {
            let (committer, failed) = (committer.clone(), failed.clone());
            async move {
                let count = group.len();
                record(&committer, group, failed).await;
                vec![(); count]
            }
        }))
    }

    /// Has an outcome recorded. `false`: the task is gone.
    pub(crate) fn record(&self, ended: Ended) -> bool {
        self.0.send(ended, Duration::ZERO)
    }
}

/// What is left to do for jobs whose outcomes are recorded. Nobody waits for it.
#[derive(Default)]
struct Leaving {
    acks: Vec<Settling>,
    settlings: Vec<Settling>,
    leases: Vec<HeldLease>,
}

async fn record(committer: &Committer, group: Vec<Ended>, failed: mpsc::Sender<PortError>) {
    let mut leaving = Leaving::default();
    let mut finishes = Vec::with_capacity(group.len());
    let mut recorded = Vec::with_capacity(group.len());
    for Ended { delivery, finish, hand, lease, settling } in group {
        let mut delivery = Some(delivery);
        if kill_point::is_mutant("ack_before_commit")
            && let Some(delivery) = delivery.take()
        {
            acknowledge(delivery).await;
        }
        kill_point::reach("finish.before_commit");
        recorded.push((finish.job, delivery, hand));
        finishes.push(finish);
        leaving.settlings.push(settling);
        leaving.leases.extend(lease);
    }
    match committer.finish(finishes).await {
        Ok(answers) => {
            for ((job, delivery, _hand), finished) in recorded.into_iter().zip(answers) {
                kill_point::reach("finish.after_commit");
                tell(job, finished);
                leaving.ack(delivery);
            }
            leaving.ack_again();
        }
        Err(error) => {
            for (_, _, hand) in recorded {
                hand.never_recorded();
            }
            let _ = failed.try_send(error);
        }
    }
    tokio::spawn(async move {
        leaving.done().await;
        drop(failed);
    });
}

fn tell(job: JobId, finished: Finished) {
    match finished {
        Finished::Recorded => {}
        Finished::Stale => tracing::debug!(%job, "another attempt owns the job"),
        Finished::Refused(error) => tracing::error!(%job, error, "its death could not be recorded either"),
    }
}

impl Leaving {
    fn ack(&mut self, delivery: Option<Delivery>) {
        self.acks.extend(delivery.map(|delivery| Settling::begin(Box::pin(acknowledge(delivery)))));
    }

    /// Deliveries that came while the calls were under way.
    fn ack_again(&mut self) {
        let again: Vec<Delivery> = self.leases.iter().flat_map(HeldLease::recorded).collect();
        for delivery in again {
            self.ack(Some(delivery));
        }
    }

    async fn done(self) {
        for ack in self.acks {
            ack.done().await;
            kill_point::reach("delivery.acked");
        }
        for settling in self.settlings {
            settling.done().await;
        }
        release(self.leases).await;
    }
}

/// The outcome is recorded. A broker that is gone delivers the message again, and finds it stale.
pub(crate) async fn acknowledge(delivery: Delivery) {
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "a delivery could not be acknowledged; it comes again");
    }
}
