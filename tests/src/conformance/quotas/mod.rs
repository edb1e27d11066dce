//! What all quotas must do. Single answers are here, what holds over windows is in [`windows`].

mod breaker;
mod found;
mod turns;
mod windows;

pub use breaker::{
    a_429_never_opens_the_breaker, a_failing_upstream_is_left_alone, a_lost_state_has_a_closed_breaker,
    one_call_of_the_fleet_tries,
};
pub use found::{places_are_found, what_answers_state_is_a_limit};
pub use turns::{
    a_slot_is_so_far_ahead_as_it_is_asked_for, what_is_given_back_is_free, who_sleeps_hears_of_a_pause,
    who_sleeps_hears_of_an_open_breaker, who_was_let_in_during_a_pause_sleeps_on,
};
pub use windows::{
    a_restart_stays_within_the_limit, no_window_is_over_the_limit, the_limit_is_used_to_the_full,
};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::PortError;
use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback, Spend, Verdict};
use fleetline_shared::ports::{
    Admission, Ask, CallEnd, Limits, Quotas, Rate, Rates, Reservation, UpstreamReport,
};
use tokio::time::Instant;

use super::Pace;

/// Makes a test of each check of this module.
#[macro_export]
macro_rules! quotas_conformance {
    (#[$test:meta] $fixture:expr) => {
        $crate::conformance_tests!(
            quotas,
            #[$test]
            $fixture,
            [
                an_upstream_without_limits_goes_at_once,
                slots_are_given_in_the_order_of_asking,
                beyond_the_hold_nothing_is_set_aside,
                a_call_larger_than_the_limit_is_an_error,
                too_much_used_delays_later_calls,
                too_little_used_comes_back,
                a_second_settlement_changes_nothing,
                a_pause_holds_everybody,
                the_longer_pause_wins,
                a_full_upstream_waits_for_a_place,
                places_are_given_in_the_order_of_asking,
                places_are_given_by_priority,
                the_place_of_a_dead_worker_gets_free,
                reports_name_all_upstreams,
                one_429_pauses_for_all,
                others_who_use_the_quota_count,
                tenants_and_models_have_limits,
                a_budget_is_a_cap_and_no_pace,
                who_sleeps_hears_of_a_pause,
                who_sleeps_hears_of_an_open_breaker,
                who_was_let_in_during_a_pause_sleeps_on,
                what_is_given_back_is_free,
                a_slot_is_so_far_ahead_as_it_is_asked_for,
                a_failing_upstream_is_left_alone,
                a_429_never_opens_the_breaker,
                one_call_of_the_fleet_tries,
                a_lost_state_has_a_closed_breaker,
                what_answers_state_is_a_limit,
                places_are_found,
                no_window_is_over_the_limit,
                the_limit_is_used_to_the_full,
                a_restart_stays_within_the_limit,
            ]
        );
    };
}

/// Quotas to check.
#[async_trait]
pub trait QuotasFixture: Send + Sync {
    /// How their time goes by.
    fn pace(&self) -> Pace;

    /// Quotas that know nothing of earlier calls.
    async fn start(&self, limits: BTreeMap<String, Limits>) -> Arc<dyn Quotas>;

    /// The same quotas, as another process of the fleet has them.
    fn another(&self, quotas: &Arc<dyn Quotas>) -> Arc<dyn Quotas>;

    /// The same for two users at once who share one state.
    async fn fleet(&self, limits: BTreeMap<String, Limits>) -> [Arc<dyn Quotas>; 2] {
        let quotas = self.start(limits).await;
        let other = self.another(&quotas);
        [quotas, other]
    }

    /// By how much slots may be measured wrong: what clocks and timers are rounded to.
    fn jitter(&self) -> Duration;

    /// Share of the limit that must be used when there is always demand.
    fn least_use(&self) -> f64;
}

/// Quotas with one upstream `api`.
struct Bench {
    quotas: Arc<dyn Quotas>,
    pace: Pace,
}

/// Units in a window of the checks.
const WINDOW: u32 = 10;

impl Bench {
    async fn new(fixture: &dyn QuotasFixture, limits: Limits) -> Self {
        let quotas = fixture.start(BTreeMap::from([("api".to_owned(), limits)])).await;
        Self { quotas, pace: fixture.pace() }
    }

    /// An ask for tokens that may wait for so many units.
    fn ask(&self, tokens: u64, hold: u32) -> Ask {
        let unit = self.pace.unit;
        Ask {
            upstream: "api".into(),
            tenant: "default".into(),
            model: None,
            priority: 0,
            spend: guess(tokens),
            hold: unit * hold,
            lead: Duration::ZERO,
            slot_ttl: unit * 1_000,
        }
    }

    async fn admit(&self, tokens: u64, hold: u32) -> Admission {
        self.quotas.admit(self.ask(tokens, hold)).await.unwrap()
    }

    /// Asks, and waits for the slot.
    async fn go(&self, tokens: u64, hold: u32) -> Reservation {
        match self.admit(tokens, hold).await {
            Admission::Go { slot, reservation, .. } => {
                tokio::time::sleep_until(slot.begins).await;
                reservation
            }
            refused @ Admission::NotBefore { .. } => panic!("{refused:?}"),
        }
    }

    /// Asks, and is told to come back later.
    async fn refused(&self, tokens: u64, hold: u32) -> (Duration, String) {
        match self.admit(tokens, hold).await {
            Admission::NotBefore { wait, why, .. } => {
                assert!(!wait.is_zero(), "asking again at once makes no sense");
                (wait, why)
            }
            go @ Admission::Go { .. } => panic!("{go:?}"),
        }
    }

    async fn settle(&self, reservation: Reservation, used: Option<u64>) {
        self.end(reservation, CallEnd::unknown(used.map(guess))).await;
    }

    async fn end(&self, reservation: Reservation, end: CallEnd) {
        self.quotas.settle(reservation, end).await.unwrap();
    }

    async fn report(&self) -> UpstreamReport {
        let reports = self.quotas.report().await.unwrap();
        reports.into_iter().find(|report| report.upstream == "api").expect("it was configured")
    }
}

/// So many tokens, a third of them of the answer.
fn guess(tokens: u64) -> Spend {
    Spend { input_tokens: tokens - tokens / 3, output_tokens: tokens / 3, money: 0 }
}

fn window_rate(pace: Pace, amount: u64) -> Rate {
    Rate { amount, window: pace.unit * WINDOW }
}

fn requests(fixture: &dyn QuotasFixture, amount: u64) -> Limits {
    Limits { requests: Some(window_rate(fixture.pace(), amount)), ..Limits::default() }
}

fn tokens(fixture: &dyn QuotasFixture, amount: u64) -> Limits {
    Limits { tokens: Some(window_rate(fixture.pace(), amount)), ..Limits::default() }
}

fn places(concurrency: u32) -> Limits {
    Limits { concurrency: Some(concurrency), ..Limits::default() }
}

/// Whether it is configured or not. Its calls are counted all the same.
pub async fn an_upstream_without_limits_goes_at_once(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, Limits::default()).await;
    for name in ["api", "never-heard-of"] {
        for _ in 0..100 {
            let ask = Ask { upstream: name.into(), ..bench.ask(1_000_000, 0) };
            let answer = bench.quotas.admit(ask).await.unwrap();
            assert!(matches!(answer, Admission::Go { slot, .. } if slot.wait().is_zero()), "{answer:?}");
        }
    }
    assert_eq!(bench.report().await.in_flight, 100);
}

/// A later ask never goes before an earlier one, and all of them have different numbers.
pub async fn slots_are_given_in_the_order_of_asking(fixture: &dyn QuotasFixture) {
    let limits = Limits { requests: Some(window_rate(fixture.pace(), 20)), ..tokens(fixture, 1_000) };
    let bench = Bench::new(fixture, limits).await;
    let (mut last, mut ids) = (Instant::now(), Vec::new());
    for tokens in [70, 5, 120, 0, 33, 60, 1, 90, 20] {
        let asked = Instant::now();
        let Admission::Go { slot, reservation, .. } = bench.admit(tokens, 1_000).await else {
            panic!("the hold is long enough for all");
        };
        let after = slot.wait();
        // The answer took a while: the slot lies between these.
        let (earliest, latest) = (asked + after, Instant::now() + after);
        assert!(latest + fixture.jitter() >= last, "{latest:?} goes before {last:?}");
        last = earliest;
        ids.push(reservation.id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}

/// An ask that one dimension refuses takes nothing of the others.
pub async fn beyond_the_hold_nothing_is_set_aside(fixture: &dyn QuotasFixture) {
    let limits = Limits {
        requests: Some(window_rate(fixture.pace(), 10)),
        concurrency: Some(50),
        ..tokens(fixture, 1_000)
    };
    let bench = Bench::new(fixture, limits).await;
    let taken = bench.go(1_000, 1_000).await;
    let before = bench.report().await;
    for _ in 0..200 {
        assert_eq!(bench.refused(1_000, 0).await.1, "tokens");
    }
    let after = bench.report().await;
    assert_eq!(after.in_flight, 1);
    assert_eq!(after.used, before.used);
    // It claims what is refilled, so that is when smaller ones go.
    assert!(after.next_in > before.next_in, "{:?}, {:?}", after.next_in, before.next_in);
    bench.settle(taken, Some(0)).await;
    bench.go(1_000, WINDOW / 2).await;
}

/// Waiting would be in vain.
pub async fn a_call_larger_than_the_limit_is_an_error(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, tokens(fixture, 1_000)).await;
    let error = bench.quotas.admit(bench.ask(1_001, 0)).await.unwrap_err();
    assert!(matches!(error, PortError::Invalid { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("1001") && text.contains("1000") && text.contains("api"), "{text}");
    bench.go(1_000, 1_000).await;
}

/// An overrun of the estimate is paid back by those who come later.
pub async fn too_much_used_delays_later_calls(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, tokens(fixture, 1_000)).await;
    let call = bench.go(10, 1_000).await;
    bench.settle(call, Some(1_500)).await;
    let (wait, why) = bench.refused(10, WINDOW / 2).await;
    assert!(wait > bench.pace.unit * (WINDOW / 2), "{wait:?}");
    assert_eq!(why, "tokens");
}

/// What the estimate took too much is there for the next call; without a word it stands.
pub async fn too_little_used_comes_back(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, tokens(fixture, 1_000)).await;
    let call = bench.go(1_000, 1_000).await;
    bench.refused(1_000, 1).await;
    bench.settle(call, Some(0)).await;
    let call = bench.go(1_000, WINDOW / 2).await;
    bench.settle(call, None).await;
    bench.refused(1_000, WINDOW / 2).await;
}

/// A caller that is not sure may settle again.
pub async fn a_second_settlement_changes_nothing(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, Limits { concurrency: Some(2), ..tokens(fixture, 1_000) }).await;
    let (first, _second) = (bench.go(100, 1_000).await, bench.go(100, 1_000).await);
    bench.settle(first.clone(), None).await;
    bench.settle(first, Some(1_000_000)).await;
    assert_eq!(bench.report().await.in_flight, 1);
    bench.go(100, WINDOW).await;
}

/// Nobody starts within it, then everybody may; other upstreams go on.
pub async fn a_pause_holds_everybody(fixture: &dyn QuotasFixture) {
    for limits in [Limits::default(), requests(fixture, 1_000)] {
        let bench = Bench::new(fixture, limits).await;
        // A new state waits for those who were given slots ahead.
        bench.pace.pass(WINDOW).await;
        bench.quotas.pause("api", bench.pace.unit * 5, "429 from the model").await.unwrap();
        let (wait, why) = bench.refused(0, 1).await;
        assert!(wait <= bench.pace.unit * 5 && wait > bench.pace.unit, "{wait:?}");
        assert_eq!(why, "paused: 429 from the model");
        let paused = Instant::now();
        let (left, why) = bench.report().await.paused.expect("it is paused");
        assert!(left <= bench.pace.unit * 5 && why == "429 from the model", "{left:?} {why}");
        let other = Ask { upstream: "other".into(), ..bench.ask(0, 0) };
        assert!(matches!(bench.quotas.admit(other).await.unwrap(), Admission::Go { .. }));
        bench.go(0, 10).await;
        assert!(paused.elapsed() + fixture.jitter() >= left, "it went within the pause");
        bench.pace.pass(1).await;
        assert_eq!(bench.report().await.paused, None);
    }
}

/// Whether it was called first or last.
pub async fn the_longer_pause_wins(fixture: &dyn QuotasFixture) {
    for units in [[2, 8], [8, 2]] {
        let bench = Bench::new(fixture, Limits::default()).await;
        for pause in units {
            bench.quotas.pause("api", bench.pace.unit * pause, &pause.to_string()).await.unwrap();
        }
        let (wait, why) = bench.refused(0, 3).await;
        assert!(wait > bench.pace.unit * 3, "{wait:?}");
        assert_eq!(why, "paused: 8");
    }
}

/// As long as the hold; a settlement lets it go.
pub async fn a_full_upstream_waits_for_a_place(fixture: &dyn QuotasFixture) {
    let bench = Arc::new(Bench::new(fixture, places(2)).await);
    let (first, _second) = (bench.go(0, 0).await, bench.go(0, 0).await);
    assert_eq!(bench.refused(0, 0).await.1, "concurrency");
    assert_eq!(bench.refused(0, 1).await.1, "concurrency");
    assert_eq!(bench.report().await.in_flight, 2);
    let waiting = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.go(0, 900).await }
    });
    bench.pace.pass(2).await;
    assert!(!waiting.is_finished(), "no place is free");
    bench.settle(first, None).await;
    let third = bench.pace.soon(waiting).await.unwrap();
    assert_eq!(bench.refused(0, 0).await.1, "concurrency");
    bench.settle(third, None).await;
    bench.go(0, 0).await;
}

/// Whoever waits longest gets the place; whoever gave up is not waited for.
pub async fn places_are_given_in_the_order_of_asking(fixture: &dyn QuotasFixture) {
    let bench = Arc::new(Bench::new(fixture, places(1)).await);
    let mut place = bench.go(0, 0).await;
    let (started, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for number in 0..5 {
        let (bench, started) = (Arc::clone(&bench), started.clone());
        waiting.push(tokio::spawn(async move {
            started.send((number, bench.go(0, 900).await)).unwrap();
        }));
        fixture.pace().pass(1).await;
    }
    waiting[0].abort();
    waiting[2].abort();
    for expected in [1, 3, 4] {
        bench.settle(place, None).await;
        let (number, reservation) = bench.pace.soon(order.recv()).await.unwrap();
        assert_eq!(number, expected);
        place = reservation;
    }
}

/// Of those who wait, the most important go first, and equal ones in the order of asking.
pub async fn places_are_given_by_priority(fixture: &dyn QuotasFixture) {
    let bench = Arc::new(Bench::new(fixture, places(1)).await);
    let mut place = bench.go(0, 0).await;
    let (started, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for (number, priority) in [0, -5, 9, 0, 9, 3].into_iter().enumerate() {
        let (bench, started) = (Arc::clone(&bench), started.clone());
        waiting.push(tokio::spawn(async move {
            let ask = Ask { priority, ..bench.ask(0, 900) };
            let Admission::Go { reservation, .. } = bench.quotas.admit(ask).await.unwrap() else {
                panic!("the hold is long enough for all");
            };
            started.send((number, reservation)).unwrap();
        }));
        fixture.pace().pass(1).await;
    }
    waiting[4].abort();
    for expected in [2, 5, 0, 3, 1] {
        bench.settle(place, None).await;
        let (number, reservation) = bench.pace.soon(order.recv()).await.unwrap();
        assert_eq!(number, expected);
        place = reservation;
    }
}

/// After its time to live, even if nobody settles.
pub async fn the_place_of_a_dead_worker_gets_free(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, places(1)).await;
    let ask = |hold: u32| Ask { slot_ttl: bench.pace.unit * 5, ..bench.ask(0, hold) };
    assert!(matches!(bench.quotas.admit(ask(0)).await.unwrap(), Admission::Go { .. }));
    bench.refused(0, 1).await;
    let asked = Instant::now();
    let answer = bench.quotas.admit(ask(20)).await.unwrap();
    assert!(matches!(answer, Admission::Go { .. }), "{answer:?}");
    assert!(asked.elapsed() < bench.pace.unit * 20, "it did not wait for the whole hold");
    assert_eq!(bench.report().await.in_flight, 1);
}

/// Those that were configured and those that were asked for, by name, with their limits.
pub async fn reports_name_all_upstreams(fixture: &dyn QuotasFixture) {
    let limits = Limits { concurrency: Some(3), ..requests(fixture, 60) };
    let bench = Bench::new(fixture, limits.clone()).await;
    let other = Ask { upstream: "a-first".into(), ..bench.ask(0, 0) };
    bench.quotas.admit(other).await.unwrap();
    let reports = bench.quotas.report().await.unwrap();
    let names: Vec<_> = reports.iter().map(|report| report.upstream.as_str()).collect();
    assert_eq!(names, ["a-first", "api"]);
    assert_eq!((reports[0].limits.clone(), reports[0].in_flight), (Limits::default(), 1));
    assert_eq!((reports[1].limits.clone(), reports[1].in_flight), (limits, 0));
}

/// The first of them counts; the others began before it.
pub async fn one_429_pauses_for_all(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, requests(fixture, 1_000)).await;
    let calls = [bench.go(0, 900).await, bench.go(0, 900).await, bench.go(0, 900).await];
    let said = |units: u32| CallEnd {
        verdict: Verdict::RateLimited,
        feedback: Feedback { retry_after: Some(bench.pace.unit * units), ..Feedback::default() },
        ..CallEnd::unknown(None)
    };
    for (call, units) in calls.into_iter().zip([4, 40, 2]) {
        bench.end(call, said(units)).await;
    }
    let report = bench.report().await;
    assert_eq!(report.effective, 700);
    let (left, why) = report.paused.expect("it is paused");
    assert!(left <= bench.pace.unit * 4 && why == "429", "{left:?} {why}");
    assert_eq!(bench.refused(0, 0).await.1, "paused: 429");
    let next = bench.go(0, 900).await;
    bench.end(next, said(1)).await;
    let effective = bench.report().await.effective;
    assert!((490..560).contains(&effective), "{effective}: it has grown a little since the first");
}

/// What the upstream says is left is not more than what may be used.
pub async fn others_who_use_the_quota_count(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, requests(fixture, 100)).await;
    bench.pace.pass(2 * WINDOW).await;
    let says = |remaining| CallEnd {
        feedback: Feedback {
            retry_after: None,
            standings: vec![DimensionStanding {
                dimension: Dimension::Requests,
                limit: Some(100),
                remaining: Some(remaining),
                reset: Some(bench.pace.unit * 5),
                window: None,
            }],
        },
        ..CallEnd::unknown(None)
    };
    let (first, second) = (bench.go(0, 0).await, bench.go(0, 0).await);
    bench.end(first, says(1_000)).await;
    assert_eq!((bench.report().await.used[0].used, bench.report().await.used[0].others), (2, 0));
    bench.end(second, says(0)).await;
    assert_eq!(bench.report().await.used[0].others, 98);
    assert_eq!(bench.refused(0, 1).await.1, "requests");
    bench.go(0, 6).await;
}

/// A tenant and a model have limits of their own, and hold up nobody else.
pub async fn tenants_and_models_have_limits(fixture: &dyn QuotasFixture) {
    let rate = |amount| Some(window_rate(fixture.pace(), amount));
    let limits = Limits {
        per_tenant: Some(Rates { requests: rate(2), ..Rates::default() }),
        per_model: BTreeMap::from([("small".into(), Rates { tokens: rate(1_000), ..Rates::default() })]),
        ..requests(fixture, 1_000)
    };
    let bench = Bench::new(fixture, limits.clone()).await;
    bench.pace.pass(2 * WINDOW).await;
    let ask = |tenant: &str, model: &str, tokens| Ask {
        tenant: tenant.into(),
        model: Some(model.into()),
        ..bench.ask(tokens, 0)
    };
    let refusal = async |ask: Ask| match bench.quotas.admit(ask).await.unwrap() {
        Admission::Go { .. } => None,
        Admission::NotBefore { why, .. } => Some(why),
    };
    let goes = async |ask: Ask| refusal(ask).await.is_none();
    assert!(goes(ask("a", "large", 5_000)).await);
    let again = refusal(ask("a", "large", 0)).await;
    let tenants = "requests within the limit of tenant `a`";
    assert_eq!(again.as_deref(), Some(tenants), "two in a window are one in half of it");
    assert!(goes(ask("b", "small", 20)).await);
    let many = refusal(ask("c", "small", 900)).await;
    assert_eq!(many.as_deref(), Some("tokens within the limit of model `small`"));
    assert!(goes(ask("c", "large", 900)).await, "the refusal took nothing of the tenant's");
    assert!(bench.quotas.admit(ask("d", "small", 1_001)).await.is_err());
    assert_eq!(bench.report().await.limits, limits);
}

/// All of it may be spent at once, but where the first window's past is unknown.
pub async fn a_budget_is_a_cap_and_no_pace(fixture: &dyn QuotasFixture) {
    let budget = Some(window_rate(fixture.pace(), 1_000));
    let bench = Bench::new(fixture, Limits { budget, ..Limits::default() }).await;
    let ask = |money| Ask { spend: Spend { money, ..Spend::default() }, ..bench.ask(0, 0) };
    let admit = async |money| bench.quotas.admit(ask(money)).await.unwrap();
    bench.pace.pass(2 * WINDOW).await;
    for _ in 0..2 {
        assert!(matches!(admit(500).await, Admission::Go { .. }));
    }
    let Admission::NotBefore { why, .. } = admit(1).await else { panic!("all is spent") };
    assert_eq!(why, "budget");
}
