//! The gate to an upstream: quota is set aside before a call and settled after it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use fleetline_shared::domain::{Envelope, Feedback, PortError, Spend, Usage, Verdict};
use fleetline_shared::ports::{Admission, Ask, CallEnd, Lack, Quotas, Reservation, Turn};
use tokio::time::Instant;

use crate::Terms;
use crate::flow::Hand;

/// How often a slot that was missed is asked for again.
const TRIES: u32 = 5;

/// A wish to call.
pub(crate) struct Permission<'e, 'a> {
    /// The job, which says whom it calls.
    pub(crate) envelope: &'e Envelope,
    /// With which of the upstream's models.
    pub(crate) model: Option<String>,
    /// What is settled about the upstream's calls.
    pub(crate) terms: &'a Terms,
    /// The longest sleep before the call.
    pub(crate) hold: Duration,
    /// The longest time that the call can take.
    pub(crate) slot_ttl: Duration,
}

/// A call's admission to its upstream, or to none.
pub(crate) struct Pass<'a> {
    claim: Option<Claim>,
    /// When the call may not start any more.
    ends: Option<Instant>,
    model: Option<String>,
    terms: &'a Terms,
}

/// What is set aside for a call. If it is dropped, the attempt was broken off: then the call's place is free
/// at once, and so is all the rest unless the call had begun.
struct Claim {
    quotas: Arc<dyn Quotas>,
    /// Until somebody ends it.
    reservation: Option<Reservation>,
    has_begun: bool,
}

impl Claim {
    fn new(quotas: &Arc<dyn Quotas>, reservation: Reservation) -> Self {
        Self { quotas: Arc::clone(quotas), reservation: Some(reservation), has_begun: false }
    }

    fn reservation(&self) -> &Reservation {
        self.reservation.as_ref().expect("it is there until the claim is gone")
    }

    /// Somebody else ends it.
    fn take(mut self) -> (Arc<dyn Quotas>, Reservation) {
        (Arc::clone(&self.quotas), self.reservation.take().expect("it is taken once"))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        if self.has_begun {
            // What it used nobody knows: the estimate stands.
            drop(Settling::of(Arc::clone(&self.quotas), reservation, CallEnd::unknown(None)));
        } else {
            self.quotas.give_back(reservation);
        }
    }
}

/// Answer of [`Pass::get`].
pub(crate) enum Gate<'a> {
    /// Go.
    Open(Pass<'a>),
    /// Not now; nothing is set aside.
    Closed {
        /// When to come back.
        wait: Duration,
        /// What is missing.
        lack: Lack,
        /// The same for people.
        why: String,
    },
}

/// What the end of a call tells about its upstream.
pub(crate) struct Told {
    /// How it does.
    pub(crate) verdict: Verdict,
    /// How long the call took.
    pub(crate) took: Duration,
    /// What it says of its quota.
    pub(crate) feedback: Feedback,
    /// Whether it answered with a refusal.
    pub(crate) is_refusal: bool,
}

impl<'a> Pass<'a> {
    /// Sets quota aside, takes a place among the calls, and sleeps until the call's time has come, `hold`
    /// at most.
    pub(crate) async fn get(
        quotas: &Arc<dyn Quotas>,
        permission: Permission<'_, 'a>,
        hand: &mut Hand,
    ) -> Result<Gate<'a>, PortError> {
        let Permission { envelope, model, terms, hold, slot_ttl } = permission;
        let Some(upstream) = &envelope.upstream else {
            hand.take_place().await;
            return Ok(Gate::Open(Self { claim: None, ends: None, model, terms }));
        };
        let estimate = envelope.estimate;
        let mut lead = Duration::ZERO;
        for _ in 0..TRIES {
            let ask = Ask {
                upstream: upstream.clone(),
                tenant: envelope.tenant.clone(),
                model: model.clone(),
                priority: 0,
                spend: spend(terms, model.as_deref(), estimate.input_tokens, estimate.output_tokens),
                hold,
                lead,
                slot_ttl,
            };
            match hand.admission(quotas.admit(ask)).await? {
                Admission::Go { slot, reservation, .. } => {
                    let claim = Claim::new(quotas, reservation);
                    hand.take_place().await;
                    match quotas.turn(claim.reservation(), slot).await {
                        Turn::Now => {
                            let (claim, ends) = (Some(claim), slot.ends);
                            return Ok(Gate::Open(Self { claim, ends, model, terms }));
                        }
                        Turn::Missed => lead = (slot.begins.elapsed() * 2).min(hold),
                        Turn::Closed { wait, lack, why } => return Ok(Gate::Closed { wait, lack, why }),
                    }
                }
                Admission::NotBefore { wait, lack, why } => return Ok(Gate::Closed { wait, lack, why }),
            }
        }
        let why = "this machine is too busy to keep its slots".into();
        Ok(Gate::Closed { wait: hold, lack: Lack::Requests, why })
    }

    /// When the call may not start any more; `None`: at any time.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// From now on the upstream may hear of the call.
    pub(crate) fn begin(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.has_begun = true;
        }
    }

    /// The call was not made.
    pub(crate) fn give_back(self) {
        if let Some((quotas, reservation)) = self.claim.map(Claim::take) {
            quotas.give_back(reservation);
        }
    }

    /// Frees the call's place, books what it really used, and passes on what the upstream told. That
    /// begins at once, and goes on while the outcome is recorded.
    pub(crate) fn settle(self, usage: Usage, told: Told) -> Settling {
        let Some((quotas, reservation)) = self.claim.map(Claim::take) else { return Settling::default() };
        let used = spend(self.terms, self.model.as_deref(), usage.input_tokens, usage.output_tokens);
        let Told { verdict, took, feedback, is_refusal } = told;
        let was_called = usage.calls > 0;
        let end = CallEnd {
            used: booked(reservation.spend, used, was_called, is_refusal),
            verdict,
            took: was_called.then_some(took),
            feedback,
        };
        Settling::of(quotas, reservation, end)
    }
}

/// Something that is settled, whose end nobody waits for before all else is done.
#[derive(Default)]
pub(crate) struct Settling(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Settling {
    /// A call's end.
    fn of(quotas: Arc<dyn Quotas>, reservation: Reservation, end: CallEnd) -> Self {
        Self::begin(Box::pin(async move {
            if let Err(error) = quotas.settle(reservation, end).await {
                tracing::debug!(%error, "quota could not be settled; the estimate stands");
            }
        }))
    }

    /// What it asks for goes out now.
    pub(crate) fn begin(mut settling: Pin<Box<dyn Future<Output = ()> + Send>>) -> Self {
        let begun = settling.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Self(begun.is_pending().then_some(settling))
    }

    /// A process that ends before might leave it unsettled.
    pub(crate) async fn done(self) {
        if let Some(settling) = self.0 {
            settling.await;
        }
    }
}

fn spend(terms: &Terms, model: Option<&str>, input_tokens: u64, output_tokens: u64) -> Spend {
    Spend { input_tokens, output_tokens, money: terms.money(model, input_tokens, output_tokens) }
}

/// What a call is booked with; `None`: the upstream did not say, the estimate stands.
fn booked(reserved: Spend, used: Spend, was_called: bool, is_refusal: bool) -> Option<Spend> {
    if !was_called || used.tokens() > 0 {
        return Some(used);
    }
    // A refusal may take of the upstream's tokens, but costs nothing.
    is_refusal.then_some(Spend { money: 0, ..reserved })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_is_booked_with() {
        let spend = |input_tokens, money| Spend { input_tokens, output_tokens: 0, money };
        let (reserved, used, nothing) = (spend(100, 50), spend(80, 40), Spend::default());
        for (said, was_called, is_refusal, expected) in [
            (nothing, false, false, Some(nothing)),
            (used, true, false, Some(used)),
            (used, true, true, Some(used)),
            (nothing, true, true, Some(spend(100, 0))),
            (nothing, true, false, None),
        ] {
            let booked = booked(reserved, said, was_called, is_refusal);
            assert_eq!(booked, expected, "{said:?}, called: {was_called}, refused: {is_refusal}");
        }
    }
}
