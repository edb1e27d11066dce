//! The first half of a job's way: decode, lease, check. Deliveries go through it in groups: while one
//! group asks, the next gathers.

use std::sync::Arc;

use fleetline_shared::domain::{CallContext, Envelope, Outcome};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Delivery, Validity};
use futures_util::future::join_all;
use tokio::join;
use tokio::time::Instant;

use crate::Fail;
use crate::attempt::{Attempts, PORT_PAUSE};
use crate::flow::Hand;
use crate::gate::Settling;
use crate::job::Job;
use crate::keeper::{Keeper, Taken};
use crate::recorder::acknowledge;

/// A delivery for which there is room.
pub(crate) struct Arrival {
    pub(crate) delivery: Delivery,
    pub(crate) hand: Hand,
}

impl Attempts {
    /// Those of a group whose calls may begin. All others are dealt with.
    pub(crate) async fn take_in(&self, arrivals: Vec<Arrival>) -> Vec<Job> {
        let jobs = self.decode(arrivals).await;
        let jobs = self.lease(jobs).await;
        self.check(jobs).await
    }

    async fn decode(&self, arrivals: Vec<Arrival>) -> Vec<Job> {
        let (mut jobs, mut unreadable) = (Vec::with_capacity(arrivals.len()), Vec::new());
        for Arrival { delivery, hand } in arrivals {
            kill_point::reach("delivery.taken");
            match self.job_of(delivery, hand) {
                Ok(job) => jobs.push(job),
                Err((delivery, reason)) => unreadable.push(reject(delivery, reason)),
            }
        }
        join_all(unreadable).await;
        jobs
    }

    fn job_of(&self, delivery: Delivery, hand: Hand) -> Result<Job, (Delivery, String)> {
        let envelope = match Envelope::decode(&delivery.body) {
            Ok(envelope) => envelope,
            Err(error) => return Err((delivery, error.to_string())),
        };
        let Some(kind) = self.registry.get(&envelope.kind) else {
            return Err((delivery, format!("this worker does not know kind `{}`", envelope.kind)));
        };
        let kind = Arc::clone(kind);
        let context = CallContext::new(envelope.job_id, envelope.attempts + 1, self.stop.child_token());
        Ok(Job { delivery, envelope, kind, hand, context, started: Instant::now(), lease: None })
    }

    async fn lease(&self, jobs: Vec<Job>) -> Vec<Job> {
        let (usual, spare): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.fails(&job.envelope) == Some(Fail::Closed));
        let (mut usual, spare) =
            join!(self.take_leases(&self.leases, usual), self.take_leases(&self.spare_leases, spare));
        usual.extend(spare);
        usual
    }

    /// What becomes of the job's upstream when the fleet's servers are out of reach.
    fn fails(&self, envelope: &Envelope) -> Option<Fail> {
        let upstream = envelope.upstream.as_deref()?;
        Some(self.terms.get(upstream).map_or(Fail::Closed, |terms| terms.fail))
    }

    async fn take_leases(&self, keeper: &Arc<Keeper>, jobs: Vec<Job>) -> Vec<Job> {
        let answers = keeper.take(jobs.iter().map(Job::hold).collect()).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                for job in jobs {
                    self.record(job.not_now(PORT_PAUSE, &error.to_string()));
                }
                return Vec::new();
            }
        };
        let (mut leased, mut duplicates) = (Vec::with_capacity(jobs.len()), Vec::new());
        for (job, taken) in jobs.into_iter().zip(answers) {
            match taken {
                Taken::Yes(lease) => {
                    kill_point::reach("lease.acquired");
                    leased.push(Job { lease: Some(lease), ..job });
                }
                // The same message twice. Nothing is written: the job is in good hands.
                Taken::Duplicate => duplicates.push(acknowledge(job.delivery)),
                Taken::Held { expires_in } => {
                    self.record(job.not_now(expires_in, "another worker holds the lease on its key"));
                }
            }
        }
        join_all(duplicates).await;
        leased
    }

    /// A redelivered message of a job that is finished must not be paid for again. The check may take
    /// as long as the ledger is away.
    async fn check(&self, jobs: Vec<Job>) -> Vec<Job> {
        if jobs.is_empty() {
            return jobs;
        }
        let dispatches = jobs.iter().map(|job| (job.envelope.job_id, job.envelope.fence)).collect();
        let answers = tokio::select! {
            biased;
            answers = self.committer.validity(dispatches) => answers,
            () = self.stop.cancelled() => {
                for job in jobs {
                    self.record(job.end(Outcome::Drained, Settling::default()));
                }
                return Vec::new();
            }
        };
        match answers {
            Ok(answers) => self.sort(jobs, answers),
            Err(error) => {
                self.give_up(jobs, error).await;
                Vec::new()
            }
        }
    }

    fn sort(&self, jobs: Vec<Job>, answers: Vec<Validity>) -> Vec<Job> {
        let mut current = Vec::with_capacity(jobs.len());
        for (job, validity) in jobs.into_iter().zip(answers) {
            match validity {
                Validity::Current => current.push(job),
                Validity::Withdrawn => self.record(job.end(Outcome::Cancelled, Settling::default())),
                Validity::Stale => self.record(job.end(Outcome::Superseded, Settling::default())),
            }
        }
        current
    }
}

async fn reject(delivery: Delivery, reason: String) {
    tracing::error!(reason, "a message goes to the dead letters");
    if let Err(error) = delivery.reject(reason).await {
        tracing::warn!(%error, "a message could not be rejected; it comes again");
    }
}
