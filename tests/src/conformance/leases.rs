//! What all leases must do.

use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Acquired, Holder, Leases};
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::Pace;

/// Makes a test of each check of this module.
#[macro_export]
macro_rules! leases_conformance {
    (#[$test:meta] $fixture:expr) => {
        $crate::conformance_tests!(
            leases,
            #[$test]
            $fixture,
            [
                one_job_holds_a_key,
                a_lease_ends_by_itself,
                a_renewed_lease_lasts_longer,
                a_lost_lease_is_not_renewed,
                a_lease_that_nobody_has_is_renewed,
                a_released_lease_is_free,
                a_lease_given_up_is_not_prolonged,
                only_the_holder_releases,
                the_holder_can_be_read,
                a_newer_dispatch_takes_over,
                an_older_dispatch_does_not_take_back,
                a_second_delivery_of_a_dispatch_takes_over,
                a_duplicate_does_not_take_over,
                a_request_that_comes_again_gets_the_same_answer,
                one_of_many_at_once_gets_it,
                random_histories_follow_the_model,
            ]
        );
    };
}

/// Leases to check.
#[async_trait]
pub trait LeasesFixture: Send + Sync {
    /// How their time goes by.
    fn pace(&self) -> Pace;

    /// The leases. Keys that a check uses are free.
    fn leases(&self) -> &dyn Leases;
}

/// Leases and a time to live of two and a half units, so that no check depends on a moment.
struct Bench<'a> {
    leases: &'a dyn Leases,
    pace: Pace,
    ttl: Duration,
    key: String,
}

impl<'a> Bench<'a> {
    fn new(fixture: &'a dyn LeasesFixture) -> Self {
        let pace = fixture.pace();
        Self { leases: fixture.leases(), pace, ttl: pace.unit * 5 / 2, key: JobId::new().to_string() }
    }

    async fn acquire(&self, holder: Holder) -> bool {
        match self.leases.acquire(&self.key, holder, self.ttl).await.unwrap() {
            Acquired::Yes => true,
            Acquired::Duplicate => false,
            Acquired::Held { expires_in } => {
                assert!(expires_in <= self.ttl, "{expires_in:?} of {:?}", self.ttl);
                false
            }
        }
    }

    async fn renew(&self, holder: Holder) -> bool {
        self.leases.renew(&self.key, holder, self.ttl).await.unwrap()
    }

    async fn release(&self, holder: Holder) -> bool {
        self.leases.release(&self.key, holder).await.unwrap()
    }
}

fn holder() -> Holder {
    Holder { job: JobId::new(), fence: 1, token: 1, nonce: 1 }
}

/// Another job waits; another key is free.
pub async fn one_job_holds_a_key(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    assert!(bench.acquire(holder()).await);
    assert!(!bench.acquire(holder()).await);
    let other = Bench::new(fixture);
    assert!(other.acquire(holder()).await);
}

/// After its time to live it is free, and not before.
pub async fn a_lease_ends_by_itself(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let (dead, next) = (holder(), holder());
    assert!(bench.acquire(dead).await);
    bench.pace.pass(2).await;
    assert!(!bench.acquire(next).await);
    bench.pace.pass(1).await;
    assert!(bench.acquire(next).await);
    assert!(!bench.release(dead).await, "it is another's now");
}

/// A whole time to live counts from the renewal.
pub async fn a_renewed_lease_lasts_longer(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let (alive, next) = (holder(), holder());
    assert!(bench.acquire(alive).await);
    for _ in 0..3 {
        bench.pace.pass(2).await;
        assert!(bench.renew(alive).await);
    }
    bench.pace.pass(2).await;
    assert!(!bench.acquire(next).await);
    bench.pace.pass(1).await;
    assert!(bench.acquire(next).await);
}

/// Whoever comes too late learns it, and changes nothing.
pub async fn a_lost_lease_is_not_renewed(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let (late, next) = (holder(), holder());
    assert!(bench.acquire(late).await);
    bench.pace.pass(3).await;
    assert!(bench.acquire(next).await);
    assert!(!bench.renew(late).await);
    bench.pace.pass(2).await;
    assert!(!bench.renew(late).await);
    assert!(bench.renew(next).await, "it is still the next one's");
}

/// A service that lost its state does not stop a call under way.
pub async fn a_lease_that_nobody_has_is_renewed(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let late = holder();
    assert!(bench.acquire(late).await);
    bench.pace.pass(3).await;
    assert!(bench.renew(late).await);
    assert!(!bench.acquire(holder()).await, "it is held again");
}

/// The next one need not wait.
pub async fn a_released_lease_is_free(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let first = holder();
    assert!(bench.acquire(first).await);
    assert!(bench.release(first).await);
    assert!(!bench.release(first).await, "it was released");
    assert!(bench.acquire(holder()).await);
}

/// Its renewal may still be waiting for others to go with.
pub async fn a_lease_given_up_is_not_prolonged(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let (first, next) = (holder(), holder());
    assert!(bench.acquire(first).await);
    let (_, given_up) = join(bench.renew(first), bench.release(first)).await;
    assert!(given_up);
    assert!(bench.acquire(next).await);
    assert!(bench.renew(next).await);
}

/// Who holds a lease and for how long is told, and that nobody does.
pub async fn the_holder_can_be_read(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let holder_of = || async { bench.leases.holder(&bench.key).await.unwrap() };
    assert_eq!(holder_of().await, None);
    let ours = Holder { fence: 7, token: u64::MAX, ..holder() };
    assert!(bench.acquire(ours).await);
    let held = holder_of().await.expect("it is held");
    assert_eq!(held.holder, ours);
    assert!(held.expires_in <= bench.ttl, "{held:?}");
    assert!(bench.release(ours).await);
    assert_eq!(holder_of().await, None);
}

/// Others leave it alone, whatever they have in common with the holder.
pub async fn only_the_holder_releases(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let ours = Holder { fence: 5, ..holder() };
    assert!(bench.acquire(ours).await);
    let others = [
        holder(),
        Holder { job: JobId::new(), ..ours },
        Holder { fence: 4, ..ours },
        Holder { fence: 6, ..ours },
        Holder { token: 2, ..ours },
        Holder { nonce: 2, ..ours },
    ];
    for other in others {
        assert!(!bench.release(other).await, "{other:?}");
        assert!(!bench.renew(other).await, "{other:?}");
    }
    assert!(bench.renew(ours).await);
}

/// A redelivery does not wait for the dead worker's lease; a worker that lives after all is told.
pub async fn a_newer_dispatch_takes_over(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let old = holder();
    let new = Holder { fence: old.fence + 1, token: 2, ..old };
    assert!(bench.acquire(old).await);
    assert!(bench.acquire(new).await);
    assert!(!bench.renew(old).await);
    assert!(!bench.release(old).await);
    assert!(bench.renew(new).await);
    assert!(bench.release(new).await);
}

/// The ledger would refuse its result.
pub async fn an_older_dispatch_does_not_take_back(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let new = Holder { fence: 10, ..holder() };
    assert!(bench.acquire(new).await);
    // 9 and 10 compare the other way round as text.
    assert!(!bench.acquire(Holder { fence: 9, token: 2, ..new }).await);
    assert!(bench.renew(new).await);
}

/// The broker may hand over the same dispatch again: the later delivery counts.
pub async fn a_second_delivery_of_a_dispatch_takes_over(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let first = holder();
    let second = Holder { token: u64::MAX, ..first };
    assert!(bench.acquire(first).await);
    assert!(bench.acquire(second).await);
    assert!(!bench.renew(first).await);
    assert!(!bench.release(first).await);
    assert!(bench.renew(second).await);
}

/// The same message, published twice: the job is worked on, and stays with whoever has it.
pub async fn a_duplicate_does_not_take_over(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let first = Holder { token: 0, ..holder() };
    let again = Holder { token: 7, nonce: 2, ..first };
    assert!(bench.acquire(first).await);
    // Whatever was drawn.
    for nonce in [0, 2] {
        let duplicate = Holder { nonce, ..first };
        let answer = bench.leases.acquire(&bench.key, duplicate, bench.ttl).await.unwrap();
        assert_eq!(answer, Acquired::Duplicate);
    }
    assert!(bench.renew(first).await);
    assert!(bench.acquire(again).await, "the broker took the message back");
    let answer = bench.leases.acquire(&bench.key, first, bench.ttl).await.unwrap();
    assert_eq!(answer, Acquired::Duplicate);
    assert!(bench.renew(again).await);
}

/// The answer was lost, and the request is sent again: nobody else works on the job.
pub async fn a_request_that_comes_again_gets_the_same_answer(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let ours = holder();
    assert!(bench.acquire(ours).await);
    bench.pace.pass(2).await;
    assert!(bench.acquire(ours).await);
    bench.pace.pass(2).await;
    assert!(!bench.acquire(holder()).await, "it was held anew");
    assert!(bench.release(ours).await);
}

/// Twenty ask together.
pub async fn one_of_many_at_once_gets_it(fixture: &dyn LeasesFixture) {
    let bench = Bench::new(fixture);
    let asks = std::iter::repeat_with(|| bench.acquire(holder())).take(20);
    assert_eq!(join_all(asks).await.into_iter().filter(|yes| *yes).count(), 1);
}

/// One step of a random history. Numbers choose from three jobs, fences and tokens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire(Holder),
    Renew(Holder),
    Release(Holder),
    Pass(u32),
}

/// Answers are those of the obvious model: one holder, and the units until it ends.
pub async fn random_histories_follow_the_model(fixture: &dyn LeasesFixture) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..fixture.pace().histories {
        let history = history().new_tree(&mut runner).unwrap().current();
        let bench = Bench::new(fixture);
        let mut held: Option<(Holder, u32)> = None;
        for (place, step) in history.iter().enumerate() {
            let right = match *step {
                Step::Acquire(holder) => bench.acquire(holder).await == model_acquire(&mut held, holder),
                Step::Renew(holder) => bench.renew(holder).await == model_renew(&mut held, holder),
                Step::Release(holder) => bench.release(holder).await == model_release(&mut held, holder),
                Step::Pass(units) => {
                    bench.pace.pass(units).await;
                    held = held.and_then(|(holder, left)| Some((holder, left.checked_sub(units)?)));
                    true
                }
            };
            assert!(right, "step {place} of {history:#?}; the model has {held:?}");
        }
    }
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let jobs = [JobId::new(), JobId::new()];
    let holders = (0..2usize, 1..4u64, 0..2u64).prop_map(move |(job, fence, token)| Holder {
        job: jobs[job],
        fence,
        token,
        nonce: 0,
    });
    let step = prop_oneof![
        4 => holders.clone().prop_map(Step::Acquire),
        3 => holders.clone().prop_map(Step::Renew),
        2 => holders.prop_map(Step::Release),
        1 => (1..4u32).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..40)
}

/// Whole units after which a lease of two and a half is still held.
const UNITS: u32 = 2;

fn model_acquire(held: &mut Option<(Holder, u32)>, holder: Holder) -> bool {
    let order = |holder: Holder| (holder.fence, holder.token);
    let free = held.is_none_or(|(other, _)| other.job == holder.job && order(other) <= order(holder));
    if free {
        *held = Some((holder, UNITS));
    }
    free
}

fn model_renew(held: &mut Option<(Holder, u32)>, holder: Holder) -> bool {
    let ours = held.is_none_or(|(other, _)| other == holder);
    if ours {
        *held = Some((holder, UNITS));
    }
    ours
}

fn model_release(held: &mut Option<(Holder, u32)>, holder: Holder) -> bool {
    held.take_if(|(other, _)| *other == holder).is_some()
}
