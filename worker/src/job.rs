//! A delivery that became a job, on its way through the worker.

use std::sync::Arc;
use std::time::SystemTime;

use fleetline_shared::domain::{CallContext, DynKind, Envelope, Outcome};
use fleetline_shared::ports::{Delivery, Finish, Hold, Holder, lease_key};
use fleetline_shared::rules::{Standing, decide};
use tokio::time::Instant;

use crate::attempt::PORT_PAUSE;
use crate::call::not_now;
use crate::flow::Hand;
use crate::gate::Settling;
use crate::keeper::HeldLease;

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
}

/// Of a job without any time left.
pub(crate) fn too_late() -> Outcome {
    not_now(PORT_PAUSE, "on its line, and for a place among the calls")
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
        let holder = Holder { job: *job_id, fence: *fence, token: token(self.delivery.redelivered) };
        Hold { key: lease_key(tenant, kind, dedup_key), holder }
    }

    /// Decides what becomes of it.
    pub(crate) fn end(self, outcome: Outcome, settling: Settling) -> Ended {
        let Self { delivery, envelope, kind, mut hand, context, started, lease } = self;
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

    /// Its deadline has passed before its call.
    pub(crate) fn end_late(mut self) -> Ended {
        self.envelope.deadline_ms = Some(0);
        self.end_early(too_late())
    }

    /// The same before it has asked for quota.
    pub(crate) fn end_early(self, outcome: Outcome) -> Ended {
        self.end(outcome, Settling::default())
    }
}

/// The broker took the message back from whoever had it: this delivery comes after that one, and the
/// clock tells which of several comes last.
fn token(redelivered: bool) -> u64 {
    if !redelivered {
        return 0;
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
