//! The first half of a job's way: decode, lease, check. Jobs are leased and checked in groups: while one
//! group asks, the next gathers.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetline_shared::batcher::{Batcher, Groups};
use fleetline_shared::domain::{CallContext, DynKind, Envelope, Outcome};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Delivery, Validity};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Fail;
use crate::attempt::{Attempts, PORT_PAUSE};
use crate::call::not_now;
use crate::flow::Hand;
use crate::job::{Ask, BoxedJob, Job, over};
use crate::keeper::{Keeper, Taken, lock};
use crate::recorder::acknowledge;

/// Jobs that are leased and checked together at most, and such groups at the same time.
const GROUPS: Groups = Groups { limit: 128, width: 2 };
/// Somebody who had the delivery before may be at its call still: so long it has to say that it goes on, several times
/// what it takes to see that a connection is gone and to tell the leases' service.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// A message that went again while somebody may be at its job asks anew after this time: there may be thousands of them.
const REPEATED_PAUSE: Duration = Duration::from_secs(5);

/// Leads jobs to their calls.
pub(crate) struct Intake {
    attempts: Arc<Attempts>,
    /// Cancelled when it is dropped: who waits for the holder of a lease gives its delivery back.
    _open: DropGuard,
    usual: Batcher<BoxedJob, ()>,
    /// Of jobs that go on while the fleet's leases are out of reach: they do not wait behind others.
    spare: Batcher<BoxedJob, ()>,
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Intake {
    /// Starts the tasks, and a task of `tasks` for each call.
    pub(crate) fn start(attempts: &Arc<Attempts>, tasks: &Tasks) -> Self {
        let closed = CancellationToken::new();
        let groups = |keeper: &Arc<Keeper>| {
            let way = Way {
                attempts: Arc::clone(attempts),
                keeper: Arc::clone(keeper),
                set: Arc::clone(&tasks.0),
                closed: closed.clone(),
            };
            Batcher::start(GROUPS, move |jobs: Vec<BoxedJob>| {
                let way = way.clone();
                async move {
                    let count = jobs.len();
                    way.lead(jobs).await;
                    vec![(); count]
                }
            })
        };
        let (usual, spare) = (groups(&attempts.leases), groups(&attempts.spare_leases));
        let set = Arc::clone(&tasks.0);
        Self { attempts: Arc::clone(attempts), _open: closed.drop_guard(), usual, spare, set }
    }

    /// Takes a delivery for which there is room. `false`: the tasks are gone.
    pub(crate) fn take(&self, mut delivery: Delivery, hand: Hand) -> bool {
        kill_point::reach("delivery.taken");
        let attempts = &self.attempts;
        match attempts.read(&delivery.body) {
            Ok((envelope, kind)) => {
                // The envelope has all of it.
                delivery.body = Vec::new();
                let job = attempts.job(delivery, hand, envelope, kind);
                if attempts.needs_the_fleet(&job.envelope) {
                    self.usual.send(job, attempts.leases.patience())
                } else {
                    self.spare.send(job, attempts.spare_leases.patience())
                }
            }
            Err(reason) => {
                self.reject(delivery, hand, reason);
                true
            }
        }
    }

    /// A broker that takes no messages at the moment takes no dead letters either: nothing else waits for that, not the
    /// end of the worker either.
    fn reject(&self, delivery: Delivery, mut hand: Hand, reason: String) {
        tracing::error!(reason, "a message goes to the dead letters");
        hand.wait_apart();
        let rejecting = async move {
            if let Err(error) = delivery.reject(reason).await {
                tracing::warn!(%error, "a message could not be rejected; it comes again");
            }
            drop(hand);
        };
        lock(&self.set).spawn(rejecting);
    }
}

/// What a group has ahead of it.
#[derive(Clone)]
struct Way {
    attempts: Arc<Attempts>,
    keeper: Arc<Keeper>,
    set: Arc<Mutex<JoinSet<()>>>,
    closed: CancellationToken,
}

impl Way {
    /// A delivery that was taken back meanwhile is dropped: it comes again, and must not compete with itself.
    async fn lead(self, mut jobs: Vec<BoxedJob>) {
        let breaks = self.keeper.breaks();
        jobs.retain(|job| job.breaks == breaks);
        let Leased { held, waiting, repeated } = self.attempts.lease(&self.keeper, jobs).await;
        for (waiting, pause) in [(waiting, GRACE), (repeated, REPEATED_PAUSE)] {
            if !waiting.is_empty() {
                self.clone().lead_later(waiting, pause);
            }
        }
        let ready = self.attempts.check(held).await;
        self.begin(ready);
    }

    /// After a while these try again, each as it heard of its lease: see [`Ask`].
    fn lead_later(self, jobs: Vec<BoxedJob>, pause: Duration) {
        let set = Arc::clone(&self.set);
        let later: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            tokio::select! {
                () = sleep(pause) => self.lead(jobs).await,
                () = self.closed.cancelled() => self.attempts.leave(jobs).await,
            }
        });
        lock(&set).spawn(later);
    }

    fn begin(self, jobs: Vec<BoxedJob>) {
        let mut set = lock(&self.set);
        while set.try_join_next().is_some() {}
        for job in jobs {
            // In a box, for a task's future is copied about, and this one is large.
            set.spawn(Box::pin(Arc::clone(&self.attempts).work_on(job)));
        }
    }
}

/// What became of a group's jobs that are not dealt with.
#[derive(Default)]
struct Leased {
    held: Vec<BoxedJob>,
    /// Those of which another delivery of the same dispatch has the lease, or may have it.
    waiting: Vec<BoxedJob>,
    /// Of these, those whose messages went again: mostly somebody is at their jobs.
    repeated: Vec<BoxedJob>,
}

/// The attempts of a worker, which end with it.
#[derive(Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Starts something that ends with the worker.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0).spawn(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        lock(&self.0).abort_all();
    }
}

impl Attempts {
    /// What a message is about; an error says why nobody can work with it.
    fn read(&self, body: &[u8]) -> Result<(Envelope, Arc<dyn DynKind>), String> {
        let envelope = Envelope::decode(body).map_err(|error| error.to_string())?;
        let unknown = || format!("this worker does not know kind `{}`", envelope.kind);
        let kind = Arc::clone(self.registry.get(&envelope.kind).ok_or_else(unknown)?);
        Ok((envelope, kind))
    }

    fn job(&self, delivery: Delivery, hand: Hand, envelope: Envelope, kind: Arc<dyn DynKind>) -> BoxedJob {
        let context = CallContext::new(envelope.job_id, envelope.attempts + 1, self.stop.child_token());
        let (started, breaks) = (Instant::now(), self.leases.breaks());
        let (lease, nonce) = (None, fastrand::u64(..));
        Box::new(Job {
            delivery,
            envelope,
            kind,
            hand,
            context,
            started,
            lease,
            nonce,
            ask: Ask::IfFree,
            breaks,
        })
    }

    /// Whether the job must wait while the fleet's servers are out of reach.
    fn needs_the_fleet(&self, envelope: &Envelope) -> bool {
        let fails = |upstream| self.terms.get(upstream).map_or(Fail::Closed, |terms| terms.fail);
        envelope.upstream.as_deref().map(fails) == Some(Fail::Closed)
    }

    /// Takes a group's leases.
    async fn lease(&self, keeper: &Arc<Keeper>, jobs: Vec<BoxedJob>) -> Leased {
        let jobs: Vec<_> = jobs.into_iter().filter_map(|job| job.unless_at_it(keeper)).collect();
        if let Some(job) = jobs.iter().find(|job| job.ask == Ask::Listens) {
            let waiting = match keeper.look(&job.hold().key).await {
                Ok(_) => jobs.into_iter().map(Job::heard).collect(),
                Err(_) => jobs,
            };
            return Leased { waiting, ..Leased::default() };
        }
        let answers = keeper.take(jobs.iter().map(|job| job.hold()).collect()).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                // Whoever is at a call already would find its dispatch over.
                let (waiting, others): (Vec<_>, Vec<_>) =
                    jobs.into_iter().partition(|job| job.may_not_be_the_first());
                for job in others {
                    self.record(job.end_early(not_now(PORT_PAUSE, &error.to_string())));
                }
                let waiting = waiting.into_iter().map(Job::unanswered).collect();
                return Leased { waiting, ..Leased::default() };
            }
        };
        let mut group = Leased::default();
        let mut duplicates = Vec::new();
        for (mut job, taken) in jobs.into_iter().zip(answers) {
            match taken {
                Taken::Yes(lease) => {
                    kill_point::reach("lease.acquired");
                    if job.envelope.again {
                        lease.stays();
                    }
                    job.lease = Some(lease);
                    group.held.push(job);
                }
                Taken::Duplicate if job.envelope.again => group.repeated.push(job.refused()),
                Taken::Duplicate if job.delivery.redelivered => group.waiting.push(job.refused()),
                // The first message of two. Nothing is written: who has the lease has the other one.
                Taken::Duplicate => duplicates.push(job.delivery),
                // A holder that lives renews it, and one that is done gives it up before it expires: the
                // end tells neither how long to wait nor that a deadline passes.
                Taken::Held { expires_in } => {
                    let wait = expires_in.min(PORT_PAUSE);
                    let outcome = not_now(wait, "another worker holds the lease on its key");
                    self.record(job.end_early(outcome));
                }
            }
        }
        if !duplicates.is_empty() {
            // Nobody waits for it, least of all those who have their leases.
            tokio::spawn(join_all(duplicates.into_iter().map(acknowledge)));
        }
        group
    }

    /// Those of a group whose calls may begin: a redelivered message of a job that is finished must not be
    /// paid for again. The check may take as long as the ledger is away.
    async fn check(&self, jobs: Vec<BoxedJob>) -> Vec<BoxedJob> {
        if jobs.is_empty() {
            return jobs;
        }
        let dispatches = jobs.iter().map(|job| (job.envelope.job_id, job.envelope.fence)).collect();
        let answers = tokio::select! {
            biased;
            answers = self.committer.validity(dispatches, self.renew_after) => answers,
            () = self.stop.cancelled() => {
                for job in jobs {
                    self.record(job.end_early(Outcome::Drained));
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

    /// The worker ends. Others get these, but for those that are over: nobody has to find that out again.
    async fn leave(&self, jobs: Vec<BoxedJob>) {
        let dispatches = jobs.iter().map(|job| (job.envelope.job_id, job.envelope.fence)).collect();
        let asked = timeout(GRACE, self.committer.validity(dispatches, self.renew_after));
        let Ok(Ok(answers)) = asked.await else { return };
        for (job, validity) in jobs.into_iter().zip(answers) {
            if validity == Validity::Stale {
                self.record(job.end_early(Outcome::Superseded));
            }
        }
    }

    fn sort(&self, jobs: Vec<BoxedJob>, answers: Vec<Validity>) -> Vec<BoxedJob> {
        let mut current = Vec::with_capacity(jobs.len());
        for (mut job, validity) in jobs.into_iter().zip(answers) {
            match over(validity, &mut job.envelope) {
                None => current.push(job),
                Some(outcome) => self.record(job.end_early(outcome)),
            }
        }
        current
    }
}
