//! A week of a fleet of 1,000 workers in virtual time, against a checker that shares nothing with the
//! quota's arithmetic: no window over the limit, nobody starves, the limit is used.
//!
//! The arithmetic knows no unit but the window, so rates are chosen for the time a test may take: what
//! 60 calls in a window of an hour show with calls of ten minutes, 6,000 a minute show with calls of
//! ten seconds. `docs/quota-model.md` has the figures.

mod checker;
mod traffic;
mod world;

use std::time::Duration;

use fleetline_shared::ports::{Limits, Rate, Rates};

use checker::{Broken, Figures, Truth};
use traffic::{DAY, MINUTE, SECOND};
use world::World;

/// Something that is wrong on purpose: the checker must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// The state is told one percent more than the provider allows.
    RateTooHigh,
    /// It is told a window one percent shorter.
    WindowTooShort,
    /// It is told two percent less.
    RateTooLow,
    /// What a call did not use is given back twice.
    RefundTwice,
    /// Places are free again while their calls still run.
    PlacesFreedEarly,
    /// A 429 is taken for an answer like others.
    DeafTo429,
    /// Whoever is told to come back comes minutes late.
    LateBack,
}

/// One upstream and its traffic.
#[derive(Clone, Debug)]
struct Plan {
    requests: Option<u64>,
    tokens: Option<u64>,
    /// In microseconds.
    window: u64,
    concurrency: Option<u32>,
    /// What one tenant may use of the requests, in percent.
    per_tenant: Option<u64>,
    /// What the limits allow, in calls of the usual size.
    calls_per_minute: f64,
    /// Tokens of the largest call.
    largest: u64,
    /// How long half of the calls take at most.
    latency: u64,
    /// Beyond its slot a call takes no longer.
    ttl: u64,
    workers: u64,
    /// Whether the provider now and then turns calls away.
    storms: bool,
    /// How long a day is, and how many there are.
    day: u64,
    days: u64,
    /// How many later asks may go before one.
    patience: u64,
    seed: u64,
    mutant: Option<Mutant>,
}

impl Plan {
    /// 40 calls a minute, places for 30 of them, at most 70 % for one tenant.
    fn of_calls() -> Self {
        Self {
            requests: Some(40),
            tokens: None,
            window: MINUTE,
            concurrency: Some(30),
            per_tenant: Some(70),
            calls_per_minute: 40.0,
            largest: 0,
            latency: 5 * SECOND,
            ttl: 10 * MINUTE,
            workers: 1_000,
            storms: true,
            day: DAY,
            days: 7,
            patience: 3,
            seed: 1,
            mutant: None,
        }
    }

    /// 200,000 tokens a minute, some 390 calls, in days of two and a half hours. No call
    /// needs more than half a hold of it: larger ones are `use_of_limit`'s.
    fn of_tokens() -> Self {
        Self {
            requests: None,
            tokens: Some(200_000),
            concurrency: None,
            per_tenant: None,
            calls_per_minute: 392.0,
            largest: 1_200,
            day: DAY / 10,
            latency: 2 * SECOND,
            // Some nine seconds of calls: after a 429, when a slot is more than a hold away.
            patience: 60,
            ..Self::of_calls()
        }
    }

    /// 3,600 calls an hour of some fourteen minutes each: most of the 1,000 workers are always busy.
    fn of_busy_workers() -> Self {
        Self {
            requests: Some(3_600),
            window: 60 * MINUTE,
            concurrency: Some(900),
            per_tenant: None,
            calls_per_minute: 60.0,
            latency: 10 * MINUTE,
            ttl: 60 * MINUTE,
            storms: false,
            ..Self::of_calls()
        }
    }

    fn truth(&self) -> Truth {
        Truth {
            calls: self.requests,
            tokens: self.tokens,
            window: self.window,
            places: self.concurrency.map(|places| places as usize),
            by_tenant: self.per_tenant.is_some(),
            patience: self.patience,
        }
    }

    /// With amounts and windows changed by a factor.
    fn limits(&self, amounts: f64, windows: f64) -> Limits {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a limit")]
        let rate = |amount: u64| {
            let amount = (amount as f64 * amounts).round().max(1.0) as u64;
            Rate { amount, window: Duration::from_micros(self.window).mul_f64(windows) }
        };
        let per_tenant = self.per_tenant.zip(self.requests).map(|(percent, requests)| Rates {
            requests: Some(rate(requests * percent / 100)),
            ..Rates::default()
        });
        Limits {
            requests: self.requests.map(rate),
            tokens: self.tokens.map(rate),
            concurrency: self.concurrency,
            per_tenant,
            ..Limits::default()
        }
    }

    fn least_share(&self) -> f64 {
        0.99
    }

    fn live(&self) -> (Figures, Option<Broken>) {
        World::new(self).live()
    }
}

/// What the checker says of the plan with something wrong in it, after so many of its days.
fn broken(plan: Plan, mutant: Mutant) -> Option<Broken> {
    Plan { mutant: Some(mutant), days: 1, ..plan }.live().1
}

fn assert_kept(name: &str, plan: &Plan) {
    let (figures, broken) = plan.live();
    println!("{name}: {figures}");
    assert_eq!(broken, None, "{name}: {figures}");
}

#[test]
fn a_week_of_calls_keeps_the_promises() {
    assert_kept("calls", &Plan::of_calls());
}

#[test]
fn a_week_of_tokens_keeps_the_promises() {
    assert_kept("tokens", &Plan::of_tokens());
}

#[test]
fn a_week_of_busy_workers_keeps_the_promises() {
    assert_kept("busy workers", &Plan::of_busy_workers());
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let (calls, tokens) = (Plan::of_calls, Plan::of_tokens);
    // Latencies are long enough for all places to be taken.
    let crowded = Plan { latency: 30 * SECOND, concurrency: Some(15), ..calls() };
    let busy =
        Plan { requests: Some(500), calls_per_minute: 500.0, day: DAY / 7, concurrency: None, ..calls() };
    let table = [
        (broken(busy.clone(), Mutant::RateTooHigh), "Calls"),
        (broken(busy, Mutant::WindowTooShort), "Calls"),
        (broken(tokens(), Mutant::RateTooHigh), "Tokens"),
        (broken(tokens(), Mutant::RefundTwice), "Tokens"),
        (broken(calls(), Mutant::RateTooLow), "Unused"),
        (broken(crowded, Mutant::PlacesFreedEarly), "Places"),
        (broken(calls(), Mutant::DeafTo429), "InPause"),
        (broken(tokens(), Mutant::LateBack), "Starved"),
    ];
    for (number, (seen, expected)) in table.iter().enumerate() {
        let seen = format!("{seen:?}");
        assert!(seen.starts_with(&format!("Some({expected}")), "mutant {number}: {seen}, not {expected}");
    }
}
