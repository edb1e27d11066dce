//! The way of one delivery: decode, lease, check, admit, call, decide, finish, release, ack.
//!
//! Read [`Attempts::work_on`] from top to bottom. An acknowledgement is sent only after the commit
//! that records the outcome; what goes wrong before leaves the delivery unsettled, so that the
//! broker hands it over again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{
    CallContext, DynKind, Envelope, FailureClass, Outcome, PortError, Registry, Usage,
};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Delivery, Finish, Finished, Lack, Leases, Quotas, Validity};
use fleetline_shared::rules::{Standing, decide};
use futures_util::future::OptionFuture;
use serde_json::value::RawValue;
use tokio::join;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::call::{call, not_now};
use crate::committer::Committer;
use crate::flow::{Flow, InHand, Passage};
use crate::gate::{Gate, Pass, Permission, Settling, Told};
use crate::lease::{HeldLease, Loss, Taken};
use crate::while_open::Barred;
use crate::{Fail, Terms};

/// A lease or quota service that does not answer is asked again after this time.
const PORT_PAUSE: Duration = Duration::from_secs(1);

/// What every attempt of a worker shares.
pub(crate) struct Attempts {
    /// Places among the calls.
    pub(crate) flow: Arc<Flow>,
    /// The kinds it can work on.
    pub(crate) registry: Registry,
    /// Its way to the ledger.
    pub(crate) committer: Committer,
    /// Holds on dedup keys.
    pub(crate) leases: Arc<dyn Leases>,
    /// Those of jobs that go on while the fleet's are out of reach.
    pub(crate) spare_leases: Arc<dyn Leases>,
    /// Quotas of the upstreams.
    pub(crate) quotas: Arc<dyn Quotas>,
    /// What is settled about their calls, by upstream.
    pub(crate) terms: BTreeMap<String, Terms>,
    /// How long a lease lives without renewal.
    pub(crate) lease_ttl: Duration,
    /// The longest sleep for a quota slot while the delivery is held.
    pub(crate) hold: Duration,
    /// Cancelled when running attempts must end at once and give their jobs back.
    pub(crate) stop: CancellationToken,
}

/// What is left to do for a job whose outcome is recorded. Nobody waits for it, so it need not hurry.
#[derive(Default)]
pub(crate) struct Leaving {
    settling: Settling,
    lease: Option<HeldLease>,
}

impl Leaving {
    /// Settles its quota and gives its lease up.
    pub(crate) async fn done(self) {
        join!(self.settling.done(), OptionFuture::from(self.lease.map(HeldLease::release)));
    }
}

impl Attempts {
    /// Works on one delivery, which is in hand until its outcome is recorded. Returns what is left to
    /// do then. An error means that the ledger cannot be reached: the worker stops.
    pub(crate) async fn work_on(&self, delivery: Delivery, in_hand: InHand) -> Result<Leaving, PortError> {
        kill_point::reach("delivery.taken");
        let envelope = match Envelope::decode(&delivery.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                reject(delivery, error.to_string()).await;
                return Ok(Leaving::default());
            }
        };
        let Some(kind) = self.registry.get(&envelope.kind) else {
            reject(delivery, format!("this worker does not know kind `{}`", envelope.kind)).await;
            return Ok(Leaving::default());
        };
        let started = Instant::now();
        let leases = self.leases_for(&envelope);
        let lease = match HeldLease::take(leases, &envelope, delivery.redelivered, self.lease_ttl).await {
            Ok(Taken::Yes(lease)) => lease,
            // The same message twice. Nothing is written: the job is in good hands.
            Ok(Taken::Duplicate) => {
                acknowledge(Some(delivery)).await;
                return Ok(Leaving::default());
            }
            Ok(Taken::Held { expires_in }) => {
                let outcome = not_now(expires_in, "another worker holds the lease on its key");
                self.record(delivery, &envelope, kind, outcome, Usage::default(), started).await?;
                return Ok(Leaving::default());
            }
            Err(error) => {
                let outcome = not_now(PORT_PAUSE, &error.to_string());
                self.record(delivery, &envelope, kind, outcome, Usage::default(), started).await?;
                return Ok(Leaving::default());
            }
        };
        kill_point::reach("lease.acquired");

        let context = CallContext::new(envelope.job_id, envelope.attempts + 1, self.stop.child_token());
        let mut passage = self.flow.passage();
        let outcome = self.under_lease(&envelope, kind, &lease, &context, &mut passage).await?;
        passage.end_call();
        // As long as the outcome is not recorded nobody else may call for it.
        let recording = self.record(delivery, &envelope, kind, outcome, context.usage(), started);
        let recorded = lease.renewed_during(recording).await;
        let leaving = Leaving { settling: std::mem::take(&mut passage.settling), lease: Some(lease) };
        drop(in_hand);
        if let Err(error) = recorded {
            passage.never_recorded();
            leaving.done().await;
            return Err(error);
        }
        Ok(leaving)
    }

    /// Where a job takes its lease.
    fn leases_for(&self, envelope: &Envelope) -> &Arc<dyn Leases> {
        let fails = |name| self.terms.get(name).map_or(Fail::Closed, |terms| terms.fail);
        match envelope.upstream.as_deref().map(fails) {
            Some(Fail::Closed) => &self.leases,
            None | Some(Fail::StaticShare) => &self.spare_leases,
        }
    }

    /// Everything that may only happen while the lease is held. Whatever ends it first wins.
    async fn under_lease(
        &self,
        envelope: &Envelope,
        kind: &Arc<dyn DynKind>,
        lease: &HeldLease,
        context: &CallContext,
        passage: &mut Passage<'_>,
    ) -> Result<Outcome, PortError> {
        let outcome = tokio::select! {
            biased;
            outcome = self.check_and_call(envelope, kind, context, passage) => outcome?,
            loss = lease.lost() => match loss {
                Loss::ToAnother => Outcome::Superseded,
                Loss::OutOfReach(error) => not_now(PORT_PAUSE, &error.to_string()),
            },
            () = self.stop.cancelled() => Outcome::Drained,
        };
        context.cancel.cancel();
        Ok(outcome)
    }

    /// The check may take as long as the ledger is away.
    async fn check_and_call(
        &self,
        envelope: &Envelope,
        kind: &Arc<dyn DynKind>,
        context: &CallContext,
        passage: &mut Passage<'_>,
    ) -> Result<Outcome, PortError> {
        // A redelivered message of a job that is finished must not be paid for again.
        match self.committer.validity(envelope.job_id, envelope.fence).await? {
            Validity::Current => {}
            Validity::Withdrawn => return Ok(Outcome::Cancelled),
            Validity::Stale => return Ok(Outcome::Superseded),
        }
        let fetched = match &envelope.args {
            Some(_) => None,
            None => self.committer.args(envelope.job_id).await?,
        };
        // A job without args cannot be: the ledger has just said that it knows it.
        let Some(args) = envelope.args.as_ref().or(fetched.as_ref()) else {
            return Ok(Outcome::Superseded);
        };
        kill_point::swallow(args.get());
        Ok(self.admit_and_call(envelope, args, kind, context, passage).await)
    }

    async fn admit_and_call(
        &self,
        envelope: &Envelope,
        args: &RawValue,
        kind: &Arc<dyn DynKind>,
        context: &CallContext,
        passage: &mut Passage<'_>,
    ) -> Outcome {
        let limit = kind.policy().timeout;
        passage.begin_call().await;
        let usual = Terms::default();
        let terms = envelope.upstream.as_ref().and_then(|name| self.terms.get(name)).unwrap_or(&usual);
        let permission = Permission {
            envelope,
            model: envelope.upstream.as_ref().and_then(|_| kind.model(args)),
            terms,
            hold: self.hold,
            slot_ttl: limit + self.hold,
        };
        let pass = match Pass::get(&self.quotas, permission, passage).await {
            Ok(Gate::Open(pass)) => pass,
            Ok(Gate::Closed { wait, lack: Lack::Breaker, why }) => {
                let upstream = envelope.upstream.as_deref().unwrap_or_default();
                let barred = Barred { kind, args, context, upstream, why: &why, wait };
                return barred.outcome(terms.on_open).await;
            }
            Ok(Gate::Closed { wait, why, .. }) => return not_now(wait, &why),
            // Quota that cannot be counted is not spent.
            Err(error @ PortError::Invalid { .. }) => {
                return Outcome::Failed { class: FailureClass::Permanent, error: error.to_string() };
            }
            Err(error) => return not_now(PORT_PAUSE, &error.to_string()),
        };
        kill_point::reach("quota.admitted");
        let begun = Instant::now();
        let called = call(kind.perform(args, context), limit).await;
        kill_point::reach("call.returned");
        passage.end_call();
        let verdict = called.verdict(context);
        let told = Told { verdict, took: begun.elapsed(), feedback: called.feedback(context) };
        passage.settling = pass.settle(context.usage(), told);
        called.outcome()
    }

    /// Decides, commits, acknowledges: in this order.
    async fn record(
        &self,
        delivery: Delivery,
        envelope: &Envelope,
        kind: &Arc<dyn DynKind>,
        outcome: Outcome,
        usage: Usage,
        started: Instant,
    ) -> Result<(), PortError> {
        let standing = Standing {
            attempts: envelope.attempts,
            max_attempts: envelope.max_attempts,
            time_left: envelope.deadline().map(|left| left.saturating_sub(started.elapsed())),
        };
        let decision = decide(outcome, standing, &kind.policy().backoff, fastrand::f64());
        let mut delivery = Some(delivery);
        if kill_point::is_mutant("ack_before_commit") {
            acknowledge(delivery.take()).await;
        }
        let finish = Finish { job: envelope.job_id, fence: envelope.fence, decision, usage };
        match self.committer.finish(finish).await? {
            Finished::Recorded => {}
            Finished::Stale => tracing::debug!(job = %envelope.job_id, "another attempt owns the job"),
            Finished::Refused(error) => {
                tracing::error!(job = %envelope.job_id, error, "the outcome could not be recorded");
            }
        }
        acknowledge(delivery).await;
        kill_point::reach("delivery.acked");
        Ok(())
    }
}

/// The outcome is recorded. A broker that is gone delivers the message again, and finds it stale.
async fn acknowledge(delivery: Option<Delivery>) {
    let Some(delivery) = delivery else { return };
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "a delivery could not be acknowledged; it comes again");
    }
}

async fn reject(delivery: Delivery, reason: String) {
    tracing::error!(reason, "a message goes to the dead letters");
    if let Err(error) = delivery.reject(reason).await {
        tracing::warn!(%error, "a message could not be rejected; it comes again");
    }
}
