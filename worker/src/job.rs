//! A delivery that became a job, on its way through the worker.

use std::sync::Arc;
use std::time::SystemTime;

use fleetline_shared::domain::{CallContext, DynKind, Envelope, Outcome};
use fleetline_shared::ports::{Delivery, Finish, Hold, Holder, Validity, lease_key};
use fleetline_shared::rules::{Standing, decide};
use tokio::time::Instant;

use crate::attempt::PORT_PAUSE;
use crate::call::not_now;
use crate::flow::Hand;
use crate::gate::Settling;
use crate::keeper::{HeldLease, Keeper};

/// How a job asks for its lease, by what it heard when it asked before. An earlier delivery of the same dispatch may
/// have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It takes what is free.
    IfFree,
    /// It heard a second ago that the lease is the earlier delivery's, which had that time to say that it goes on: it takes
    /// it over.
    Insists,
    /// It heard nothing: it takes nothing before it has heard something. What is free then may be a holder's whose lease
    /// ended while it could not renew it.
    Listens,
}

/// What an attempt works with.
pub(crate) struct Job {
    pub(crate) delivery: Delivery,
    pub(crate) envelope: Envelope,
    pub(crate) kind: Arc<dyn DynKind>,
    pub(crate) hand: Hand,
    pub(crate) context: CallContext,
    /// When it was taken.
    pub(crate) started: Instant,
    /// On its dedup key, once it is taken.
    pub(crate) lease: Option<HeldLease>,
    /// What its lease knows it by, however often it asks.
    pub(crate) nonce: u64,
    /// How it asks for that.
    pub(crate) ask: Ask,
    /// How often deliveries had been taken back when this one came.
    pub(crate) breaks: u64,
}

/// It passes through many hands, and each would copy it.
pub(crate) type BoxedJob = Box<Job>;

/// What ends the attempt before its call, if anything does, by what the ledger says of its dispatch.
pub(crate) fn over(validity: Validity, envelope: &mut Envelope) -> Option<Outcome> {
    match validity {
        Validity::Current => None,
        Validity::Withdrawn => Some(Outcome::Cancelled),
        Validity::Expired => {
            envelope.deadline_ms = Some(0);
            Some(not_now(PORT_PAUSE, "on its line, and for a place among the calls"))
        }
        Validity::Stale => Some(Outcome::Superseded),
    }
}

/// A job whose attempt is over: what is to be recorded, and what is to be given back then.
pub(crate) struct Ended {
    pub(crate) delivery: Delivery,
    pub(crate) finish: Finish,
    pub(crate) hand: Hand,
    pub(crate) lease: Option<HeldLease>,
    pub(crate) settling: Settling,
}

impl Job {
    /// The lease that its call needs.
    pub(crate) fn hold(&self) -> Hold {
        let Envelope { tenant, kind, dedup_key, job_id, fence, .. } = &self.envelope;
        let token = if self.ask == Ask::Insists { token(&self.delivery, SystemTime::now()) } else { 0 };
        let holder = Holder { job: *job_id, fence: *fence, token, nonce: self.nonce };
        Hold { key: lease_key(tenant, kind, dedup_key), holder }
    }

    /// Itself, unless this process is at it already.
    pub(crate) fn unless_at_it(self: BoxedJob, keeper: &Keeper) -> Option<BoxedJob> {
        if !self.may_not_be_the_first() {
            return Some(self);
        }
        let job = *self;
        match keeper.join(job.envelope.job_id, job.envelope.fence, job.delivery) {
            Ok(()) => None,
            Err(delivery) => Some(Box::new(Self { delivery, ..job })),
        }
    }

    /// Whether a worker may be at it since an earlier delivery, which may be gone with that worker or not.
    pub(crate) fn may_not_be_the_first(&self) -> bool {
        self.delivery.redelivered || self.envelope.again
    }

    /// Another delivery of its dispatch has its lease: next time it insists. Until then, that one's worker may be dead: it
    /// keeps its hand, or this worker would take all that a dead one had. Then it is known that the other goes on.
    ///
    /// A message that went [again](Envelope::again) never insists: the first one may be with that worker still, whose
    /// connection has not broken, so it has no reason to say that it goes on.
    pub(crate) fn refused(mut self: BoxedJob) -> BoxedJob {
        if self.ask == Ask::Insists || self.envelope.again {
            self.hand.wait_apart();
        } else {
            self.hand.stand_by();
        }
        self.ask = if self.envelope.again { Ask::IfFree } else { Ask::Insists };
        self
    }

    /// Whether another has its lease is not known, and nobody could say so meanwhile.
    pub(crate) fn unanswered(mut self: BoxedJob) -> BoxedJob {
        self.hand.wait_apart();
        self.ask = Ask::Listens;
        self
    }

    /// From now on a holder can be heard.
    pub(crate) fn heard(mut self: BoxedJob) -> BoxedJob {
        self.ask = Ask::IfFree;
        self
    }

    /// What is recorded of an attempt that came to this. Anything but a result would end the dispatch of another that
    /// has taken the lease over, and its call would be paid for in vain.
    pub(crate) async fn unless_taken_over(&self, outcome: Outcome) -> Outcome {
        match (&outcome, &self.lease) {
            (Outcome::Success(_), _) | (_, None) => outcome,
            (_, Some(lease)) if lease.is_anothers().await => Outcome::Superseded,
            _ => outcome,
        }
    }

    /// Decides what becomes of it.
    pub(crate) fn end(self, outcome: Outcome, settling: Settling) -> Ended {
        let Self { delivery, envelope, kind, mut hand, context, started, lease, .. } = self;
        // Whoever listens has nobody left to listen for.
        context.cancel.cancel();
        hand.end_call();
        let standing = Standing {
            attempts: envelope.attempts,
            max_attempts: envelope.max_attempts,
            time_left: envelope.deadline().map(|left| left.saturating_sub(started.elapsed())),
        };
        let decision = decide(outcome, standing, &kind.policy().backoff, fastrand::f64());
        let finish = Finish { job: envelope.job_id, fence: envelope.fence, decision, usage: context.usage() };
        Ended { delivery, finish, hand, lease, settling }
    }

    /// The same before it has asked for quota.
    pub(crate) fn end_early(self, outcome: Outcome) -> Ended {
        self.end(outcome, Settling::default())
    }
}

/// Microseconds since 1970 until the year 2112.
const CLOCK_BITS: u32 = 52;

/// The broker took the message back from whoever had it: this delivery comes after that one. Which of several
/// comes last is told by the broker's own count, for the hosts' clocks differ: by them a message whose last
/// holder died could pass for a duplicate of its own. They tell only where the broker does not.
fn token(delivery: &Delivery, now: SystemTime) -> u64 {
    if !delivery.redelivered {
        return 0;
    }
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(since.as_micros()).unwrap_or(u64::MAX).min((1 << CLOCK_BITS) - 1);
    let returns = u64::from(delivery.returns).min(u64::MAX >> CLOCK_BITS);
    (returns << CLOCK_BITS) | clock
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use fleetline_shared::domain::PortError;
    use fleetline_shared::ports::{Settle, Settlement};

    use super::*;

    /// Takes every settlement.
    pub(crate) struct Nobody;

    #[async_trait]
    impl Settle for Nobody {
        async fn settle(self: Box<Self>, _: Settlement) -> Result<(), PortError> {
            Ok(())
        }
    }

    /// Of the host whose clock shows so many seconds.
    fn token_at(redelivered: bool, returns: u32, clock: u64) -> u64 {
        let delivery = Delivery::new(Vec::new(), redelivered, Box::new(Nobody)).with_returns(returns);
        token(&delivery, SystemTime::UNIX_EPOCH + Duration::from_secs(clock))
    }

    #[test]
    fn the_brokers_count_goes_before_the_hosts_clocks() {
        const NOW: u64 = 1_800_000_000;
        let in_order = [
            token_at(false, 0, NOW + 60),
            token_at(true, 0, NOW),
            token_at(true, 0, NOW + 1),
            token_at(true, 1, NOW + 5),
            token_at(true, 2, NOW),
            token_at(true, 3, 0),
            token_at(true, u32::MAX, u64::MAX >> 24),
        ];
        assert!(in_order.is_sorted_by(|earlier, later| earlier < later), "{in_order:x?}");
        assert_eq!(in_order[0], 0, "two first deliveries are duplicates");
    }
}
