//! The second half of a job's way: admit, call, decide. What comes before is in `intake`, what comes
//! after in `recorder`.
//!
//! Read [`Attempts::work_on`] from top to bottom. What goes wrong before an outcome is recorded leaves
//! the delivery unsettled, so that the broker hands it over again.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fleetline_shared::domain::{
    CallContext, DynKind, Envelope, FailureClass, JobError, Outcome, PortError, Registry,
};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Lack, Quotas, Validity};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Terms;
use crate::call::{Called, call, not_now};
use crate::committer::Committer;
use crate::flow::Hand;
use crate::gate::{Gate, Pass, Permission, Settling, Told};
use crate::job::{BoxedJob, Ended, Job, over};
use crate::keeper::{Keeper, release};
use crate::others::Others;
use crate::recorder::Recorder;
use crate::trouble::Trouble;
use crate::while_open::Barred;

/// A lease or quota service that does not answer is asked again after this time.
pub(crate) const PORT_PAUSE: Duration = Duration::from_secs(1);

/// What all attempts of a worker share.
pub(crate) struct Attempts {
    /// The kinds it can work on.
    pub(crate) registry: Registry,
    /// Its way to the ledger.
    pub(crate) committer: Committer,
    /// Takes what attempts end with.
    pub(crate) recorder: Recorder,
    /// Holds on dedup keys.
    pub(crate) leases: Arc<Keeper>,
    /// Those of jobs that go on while the fleet's are out of reach.
    pub(crate) spare_leases: Arc<Keeper>,
    /// Who may do what this worker is not set up for, if there is anybody.
    pub(crate) others: Option<Others>,
    /// Quotas of the upstreams.
    pub(crate) quotas: Arc<dyn Quotas>,
    /// Whether they give no answer.
    pub(crate) trouble: Trouble,
    /// What is settled about their calls, by upstream.
    pub(crate) terms: BTreeMap<String, Terms>,
    /// The longest sleep for a quota slot while the delivery is held.
    pub(crate) hold: Duration,
    /// A longer wait on the line is no part of the time after which a job counts as lost.
    pub(crate) renew_after: Duration,
    /// Cancelled when running attempts must end at once and give their jobs back.
    pub(crate) stop: CancellationToken,
    /// Told when the ledger cannot be reached: the worker stops.
    pub(crate) failed: mpsc::Sender<PortError>,
}

/// A call that is to be made.
#[derive(Clone, Copy)]
struct Wish<'a> {
    kind: &'a Arc<dyn DynKind>,
    args: &'a RawValue,
    context: &'a CallContext,
    terms: &'a Terms,
}

impl Attempts {
    /// Makes the job's call, and has the outcome recorded.
    pub(crate) async fn work_on(self: Arc<Self>, mut job: BoxedJob) {
        let mut settling = Settling::default();
        match self.under_lease(&mut job, &mut settling).await {
            Ok(outcome) => {
                let outcome = job.unless_taken_over(outcome).await;
                self.record(job.end(outcome, settling));
            }
            Err(error) => self.give_up(vec![job], error).await,
        }
    }

    /// Everything that may only happen while the lease is held. Whatever ends it first wins; what is set aside
    /// for a call that is broken off ends with it.
    async fn under_lease(&self, job: &mut Job, settling: &mut Settling) -> Result<Outcome, PortError> {
        let Job { envelope, kind, hand, context, lease, .. } = job;
        let Some(lease) = lease else { return Ok(Outcome::Superseded) };
        tokio::select! {
            biased;
            outcome = self.call(envelope, kind, context, hand, settling) => outcome,
            () = lease.lost() => Ok(Outcome::Superseded),
            () = context.cancel.cancelled() => Ok(Outcome::Drained),
        }
    }

    async fn call(
        &self,
        envelope: &mut Envelope,
        kind: &Arc<dyn DynKind>,
        context: &CallContext,
        hand: &mut Hand,
        settling: &mut Settling,
    ) -> Result<Outcome, PortError> {
        let mut checked = Instant::now();
        let args = match envelope.args.take() {
            Some(args) => Some(args),
            None => self.committer.args(envelope.job_id).await?,
        };
        // A job without args cannot be: the ledger has just said that it knows it.
        let Some(args) = args else { return Ok(Outcome::Superseded) };
        hand.begin_call().await;
        if let Some(over) = self.check_again(envelope, &mut checked).await? {
            return Ok(over);
        }
        kill_point::swallow(args.get());
        let usual = Terms::default();
        let terms = envelope.upstream.as_ref().and_then(|name| self.terms.get(name)).unwrap_or(&usual);
        let wish = Wish { kind, args: &args, context, terms };
        let pass = match self.admit(envelope, &wish, hand).await {
            Ok(pass) => pass,
            Err(outcome) => return Ok(outcome),
        };
        // Quota and a place may have been long in coming, too.
        if let Some(over) = self.check_again(envelope, &mut checked).await.transpose() {
            pass.give_back();
            return over;
        }
        // And so may the answer.
        if pass.is_late() {
            pass.give_back();
            return Ok(not_now(Duration::ZERO, "the ledger's answer came after the slot of the call"));
        }
        Ok(match (perform(&wish, pass, hand, settling).await, &self.others) {
            (Called::Error(JobError::NotHere(why)), Some(others)) => {
                others.take_over(&why, envelope.deadline())
            }
            (called, _) => called.outcome(),
        })
    }

    /// After a long wait, as before it: what ends the attempt, if anything. Unchecked, a job could count as lost
    /// while its call is under way.
    async fn check_again(
        &self,
        envelope: &mut Envelope,
        checked: &mut Instant,
    ) -> Result<Option<Outcome>, PortError> {
        if checked.elapsed() <= self.renew_after {
            return Ok(None);
        }
        *checked = Instant::now();
        let dispatch = vec![(envelope.job_id, envelope.fence)];
        let answers = self.committer.validity(dispatch, self.renew_after).await?;
        Ok(over(answers.first().copied().unwrap_or(Validity::Stale), envelope))
    }

    /// Sets quota and a place aside for the call. An error is what ends the attempt without it.
    async fn admit<'a>(
        &self,
        envelope: &Envelope,
        wish: &Wish<'a>,
        hand: &mut Hand,
    ) -> Result<Pass<'a>, Outcome> {
        let Wish { kind, args, context, terms } = *wish;
        let permission = Permission {
            envelope,
            model: envelope.upstream.as_ref().and_then(|_| kind.model(args)),
            terms,
            hold: self.hold,
            timeout: kind.policy().timeout,
        };
        let answer = Pass::get(&self.quotas, permission, hand).await;
        // Who calls nobody asks nobody, and a refusal may be without Redis.
        if envelope.upstream.is_some() && !matches!(answer, Ok(Gate::Closed { .. })) {
            self.trouble.hear(&answer);
        }
        Err(match answer {
            Ok(Gate::Open(pass)) => return Ok(pass),
            Ok(Gate::Closed { wait, lack: Lack::Breaker, why }) => {
                let upstream = envelope.upstream.as_deref().unwrap_or_default();
                let barred = Barred { kind, args, context, upstream, why: &why, wait };
                barred.outcome(terms.on_open).await
            }
            Ok(Gate::Closed { wait, why, .. }) => not_now(wait, &why),
            // Quota that cannot be counted is not spent.
            Err(error @ PortError::Invalid { .. }) => {
                Outcome::Failed { class: FailureClass::Permanent, error: error.to_string() }
            }
            Err(error) => not_now(PORT_PAUSE, &error.to_string()),
        })
    }

    /// Who keeps the leases.
    pub(crate) fn keepers(&self) -> [Weak<Keeper>; 2] {
        [&self.leases, &self.spare_leases].map(Arc::downgrade)
    }

    /// Has an outcome recorded.
    pub(crate) fn record(&self, ended: Ended) {
        if !self.recorder.record(ended) {
            let message = "the recorder has stopped".into();
            let _ = self.failed.try_send(PortError::Broken { port: "ledger", message });
        }
    }

    /// The ledger cannot be reached: the jobs go back to the broker, and the worker stops.
    pub(crate) async fn give_up(&self, jobs: Vec<BoxedJob>, error: PortError) {
        let _ = self.failed.try_send(error);
        release(jobs.into_iter().filter_map(|job| job.lease).collect()).await;
    }
}

/// Makes the call, and begins to settle its quota.
async fn perform(wish: &Wish<'_>, mut pass: Pass<'_>, hand: &mut Hand, settling: &mut Settling) -> Called {
    let Wish { kind, args, context, .. } = *wish;
    kill_point::reach("quota.admitted");
    pass.begin();
    let begun = Instant::now();
    context.has_slot_until(pass.ends());
    let called = call(kind.perform(args, context), kind.policy().timeout).await;
    kill_point::reach("call.returned");
    hand.end_call();
    if called.is_put_off(context) {
        pass.give_back();
    } else {
        let verdict = called.verdict(context);
        let (took, feedback) = (begun.elapsed(), called.feedback(context));
        let told = Told { verdict, took, feedback, is_refusal: context.is_refused() };
        *settling = pass.settle(context.usage(), told);
    }
    called
}

#[cfg(test)]
pub(crate) mod tests;
