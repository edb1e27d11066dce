//! The gate to an upstream: quota is set aside before a call and settled after it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use fleetline_shared::domain::{Envelope, Feedback, PortError, Spend, Usage, Verdict};
use fleetline_shared::ports::{Admission, Ask, CallEnd, Lack, Quotas, Reservation, SlotTime, Turn};
use tokio::time::{Instant, timeout_at};

use crate::Terms;
use crate::flow::Hand;

/// How often a slot that was missed is asked for again.
const TRIES: u32 = 5;
/// So much later than its slot a call may start where nothing is counted in windows, however short the hold is.
const LEAST_LATENESS: Duration = Duration::from_secs(1);

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
    pub(crate) timeout: Duration,
}

/// A call's admission to its upstream, or to none.
pub(crate) struct Pass<'a> {
    claim: Option<Claim>,
    /// When its request may not leave any more.
    ends: Option<Instant>,
    /// When the call may not start any more: it could outlast what is set aside for it.
    latest: Option<Instant>,
    model: Option<String>,
    terms: &'a Terms,
}

/// What is set aside for a call. If it is dropped, the attempt was broken off: then the call's place is free
/// at once, and so is all the rest unless the call had begun.
struct Claim {
    quotas: Arc<dyn Quotas>,
    /// Until somebody ends it.
    reservation: Option<Reservation>,
    /// When the call did.
    begun: Option<Instant>,
}

impl Claim {
    fn new(quotas: &Arc<dyn Quotas>, reservation: Reservation) -> Self {
        Self { quotas: Arc::clone(quotas), reservation: Some(reservation), begun: None }
    }

    fn reservation(&self) -> &Reservation {
        self.reservation.as_ref().expect("it is there until the claim is gone")
    }

    /// Itself, if the hand has a place in time. If not, others can have it while the hand waits on for its place.
    async fn with_place(self, hand: &mut Hand, latest: Instant) -> Option<Self> {
        let mut place = pin!(hand.take_place());
        if timeout_at(latest, &mut place).await.is_ok() {
            return Some(self);
        }
        drop(self);
        place.await;
        None
    }

    /// Somebody else ends it.
    fn take(mut self) -> (Arc<dyn Quotas>, Reservation) {
        (Arc::clone(&self.quotas), self.reservation.take().expect("it is taken once"))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        if let Some(begun) = self.begun {
            // What it used nobody knows: the estimate stands.
            let end = CallEnd { took: Some(begun.elapsed()), ..CallEnd::unknown(None) };
            drop(Settling::of(Arc::clone(&self.quotas), reservation, end));
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
    /// at most. Quota does not wait for a place for much longer than that: others could use it.
    pub(crate) async fn get(
        quotas: &Arc<dyn Quotas>,
        permission: Permission<'_, 'a>,
        hand: &mut Hand,
    ) -> Result<Gate<'a>, PortError> {
        let Permission { envelope, model, terms, hold, timeout } = permission;
        let Some(upstream) = &envelope.upstream else {
            hand.take_place().await;
            return Ok(Gate::Open(Self { claim: None, ends: None, latest: None, model, terms }));
        };
        let estimate = envelope.estimate;
        let lateness = hold.max(LEAST_LATENESS);
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
                slot_ttl: timeout + lateness,
            };
            match hand.admission(quotas.admit(ask)).await? {
                Admission::Go { slot, reservation, .. } => {
                    let claim = Claim::new(quotas, reservation);
                    let SlotTime { begins, ends } = slot;
                    let latest = begins + lateness;
                    let latest = ends.map_or(latest, |ends| ends.min(latest));
                    let Some(claim) = claim.with_place(hand, latest).await else { continue };
                    let slot = SlotTime { begins, ends: Some(latest) };
                    match quotas.turn(claim.reservation(), slot).await {
                        Turn::Now => {
                            let (claim, latest) = (Some(claim), Some(latest));
                            return Ok(Gate::Open(Self { claim, ends, latest, model, terms }));
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

    /// When its request may not leave any more; `None`: at any time.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Whether what is set aside is not for now any more.
    pub(crate) fn is_late(&self) -> bool {
        self.latest.is_some_and(|latest| Instant::now() > latest)
    }

    /// From now on the upstream may hear of the call.
    pub(crate) fn begin(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.begun = Some(Instant::now());
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
    use std::collections::BTreeMap;

    use fleetline_shared::embedded::MemoryQuotas;
    use fleetline_shared::ports::{Limits, Rate};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::attempt::tests::envelope;
    use crate::flow::Flow;

    const HOLD: Duration = Duration::from_secs(2);

    /// One that has the only place, and one that waits for it.
    async fn hands() -> [Hand; 2] {
        let flow = Arc::new(Flow::new(1));
        let mut calling = flow.take().await;
        // What is long on its way to its call lets a second job come.
        sleep(Duration::from_mins(2)).await;
        let waiting = flow.take().await;
        calling.take_place().await;
        [calling, waiting]
    }

    /// Whether a window of an hour, whose slots last long, or none goes with the upstream's only place.
    #[tokio::test(start_paused = true)]
    async fn quota_waits_for_a_place_as_long_as_its_slot_lasts() {
        let hour = Rate { amount: 60, window: Duration::from_hours(1) };
        let job = Envelope { upstream: Some("api".into()), ..envelope("echo") };
        let terms = Terms::default();
        for requests in [None, Some(hour)] {
            let limits = Limits { requests, concurrency: Some(1), ..Limits::default() };
            let quotas: Arc<dyn Quotas> =
                Arc::new(MemoryQuotas::new(BTreeMap::from([("api".to_owned(), limits)])));
            let in_flight = async || quotas.report().await.unwrap()[0].in_flight;
            let [calling, mut waiting] = hands().await;
            let permission =
                Permission { envelope: &job, model: None, terms: &terms, hold: HOLD, timeout: 60 * HOLD };
            let mut getting = pin!(Pass::get(&quotas, permission, &mut waiting));
            assert!(timeout(HOLD / 2, &mut getting).await.is_err());
            assert_eq!(in_flight().await, 1);
            assert!(timeout(2 * HOLD, &mut getting).await.is_err());
            assert_eq!(in_flight().await, 0, "others can have it");
            drop(calling);
            let Ok(Gate::Open(pass)) = getting.await else { panic!("there is quota, and a place") };
            assert_eq!((in_flight().await, pass.is_late()), (1, false));
            sleep(2 * HOLD).await;
            assert!(pass.is_late());
        }
    }

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
