//! The script and its twin in Rust give the same answers to the same histories.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback, Spend, Verdict};
use fleetline_shared::ports::{CallEnd, Lack, Limits, Rate, Rates};
use fleetline_shared::redis::Redis;
use fleetline_shared::redis::quotas::answer::Answer;
use fleetline_shared::redis::quotas::call::{Op, QuotaCall};
use fleetline_shared::rules::{METERED, Pacing, QuotaState, Slot, SlotAsk};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::redis;

const SECOND: u64 = 1_000_000;
/// Times as a server has them: sixteen digits.
const START: u64 = 1_760_000_000_000_000;

/// What happens at one time. Units are in thousandths of the limits.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        /// Of requests' tokens, of answers' tokens, of money.
        units: [u64; 3],
        hold: u64,
        ttl: u64,
        tenant: u8,
        model: u8,
    },
    /// Ends one of the calls that were given out, perhaps again, with so many percent of its units.
    Settle(prop::sample::Index, Option<u64>, Verdict, Feedback),
    /// One of them was not made.
    GiveBack(prop::sample::Index),
    Pause(u64),
    Report,
}

fn step() -> impl Strategy<Value = Step> {
    let thousandths = || prop_oneof![6 => 0u64..100, 2 => 0u64..=1_000, 1 => 1_001u64..1_100];
    let units = [thousandths(), thousandths(), thousandths()];
    let ask = (units, 0u64..3 * SECOND, 1u64..20 * SECOND, 0u8..4, 0u8..3);
    let percents = prop_oneof![Just(None), (0u64..=100).prop_map(Some), (100u64..400).prop_map(Some)];
    let verdict = prop_oneof![
        6 => Just(Verdict::Healthy), 1 => Just(Verdict::Failing), 1 => Just(Verdict::RateLimited),
        1 => Just(Verdict::Unknown),
    ];
    prop_oneof![
        8 => ask.prop_map(|(units, hold, ttl, tenant, model)| Step::Ask { units, hold, ttl, tenant, model }),
        4 => (any::<prop::sample::Index>(), percents, verdict, feedback())
            .prop_map(|(which, used, verdict, feedback)| Step::Settle(which, used, verdict, feedback)),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => (0u64..3 * SECOND).prop_map(Step::Pause),
        1 => Just(Step::Report),
    ]
}

/// Sense and nonsense.
fn feedback() -> impl Strategy<Value = Feedback> {
    let time = || {
        prop_oneof![
            2 => Just(None), 4 => (0u64..10 * SECOND).prop_map(Some), 4 => (0u64..SECOND).prop_map(Some), 1 => Just(Some(86_400 * SECOND)), 1 => Just(Some(0)),
        ]
        .prop_map(|time| time.map(Duration::from_micros))
    };
    let dimensions = METERED.into_iter().chain([Dimension::Concurrency]).collect::<Vec<_>>();
    let remaining = prop_oneof![1 => Just(None), 2 => Just(Some(0)), 3 => (0u64..4_000).prop_map(Some), 3 => (0u64..40).prop_map(Some)];
    let standing =
        (prop::sample::select(dimensions), remaining, time(), prop_oneof![4 => Just(None), 1 => time()])
            .prop_map(|(dimension, remaining, reset, window)| DimensionStanding {
                dimension,
                limit: None,
                remaining,
                reset,
                window,
            });
    (time(), prop::collection::vec(standing, 0..6))
        .prop_map(|(retry_after, standings)| Feedback { retry_after, standings })
}

/// Waits, and what happens after each of them in one script call.
fn history() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    let wait = prop_oneof![4 => 0..SECOND / 5, 4 => 0..SECOND, 1 => 0..30 * SECOND];
    prop::collection::vec((wait, prop::collection::vec(step(), 1..12)), 1..60)
}

/// Limits per window; one in so many is not there.
fn rates(rare: u32) -> impl Strategy<Value = Rates> {
    let some = |(amount, window)| Some(Rate { amount, window: Duration::from_micros(window) });
    let requests = (prop_oneof![0u64..40, 40u64..5_000], SECOND / 10..10 * SECOND);
    let few = || (600u64..5_000, SECOND / 10..10 * SECOND);
    // Products do not fit a double, and their shares are often whole: rounding would show.
    let many =
        || (1u64 << 20..1 << 30, 1u64..86_400).prop_map(|(amount, window)| (amount * 1_000, window * SECOND));
    let units =
        move || prop_oneof![rare => Just(None), 3 => few().prop_map(some), 1 => many().prop_map(some)];
    let requests = prop_oneof![rare => Just(None), 3 => requests.prop_map(some)];
    (requests, units(), units(), units(), units()).prop_map(
        |(requests, input_tokens, output_tokens, tokens, budget)| Rates {
            requests,
            input_tokens,
            output_tokens,
            tokens,
            budget,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let concurrency = prop_oneof![Just(None), (1u32..20).prop_map(Some)];
    let per_tenant = prop_oneof![2 => Just(None), 1 => rates(6).prop_map(Some)];
    let per_model = prop::collection::btree_map(prop::sample::select(vec!["1", "2"]), rates(6), 0..2);
    (rates(4), concurrency, per_tenant, per_model).prop_map(|(rates, concurrency, per_tenant, per_model)| {
        let Rates { requests, input_tokens, output_tokens, tokens, budget } = rates;
        // A part without limits is none: the script does not hear of it.
        let is_limited = |rates: &Rates| *rates != Rates::default();
        let per_tenant = per_tenant.filter(is_limited);
        let per_model = per_model.into_iter().filter(|(_, rates)| is_limited(rates));
        let per_model: BTreeMap<_, _> = per_model.map(|(model, rates)| (model_name(model), rates)).collect();
        Limits { requests, input_tokens, output_tokens, tokens, budget, concurrency, per_tenant, per_model }
    })
}

/// With all that could be mistaken for something else.
fn model_name(model: &str) -> String {
    format!("model/{model}.1 %\n{model}")
}

/// Both, and the calls that they gave out.
struct Twins {
    limits: Limits,
    state: QuotaState,
    /// Time of the start, which the script's ids are counted from.
    start: u64,
    now: u64,
    given: Vec<(u64, Spend)>,
}

impl Twins {
    fn op(&self, step: &Step) -> Op {
        match step {
            Step::Ask { units, hold, ttl, tenant, model } => {
                let of = |rate: Option<Rate>, thousandths: u64| {
                    let amount = rate.map_or(1_000, |rate| rate.amount);
                    u64::try_from(u128::from(amount) * u128::from(thousandths) / 1_000).unwrap()
                };
                let spend = Spend {
                    input_tokens: of(self.limits.input_tokens.or(self.limits.tokens), units[0]),
                    output_tokens: of(self.limits.output_tokens, units[1]),
                    money: of(self.limits.budget, units[2]),
                };
                let (tenant, model) = (format!("tenant\n{tenant}"), model_name(&model.to_string()));
                Op::Ask(SlotAsk { spend, hold: *hold, ttl: *ttl, tenant, model })
            }
            Step::Settle(which, percent, verdict, feedback) => {
                let (id, spend) = self.one_given(*which);
                let used = percent.map(|percent| {
                    let part = |units: u64| units / 100 * percent + units % 100;
                    let Spend { input_tokens, output_tokens, money } = spend;
                    Spend {
                        input_tokens: part(input_tokens),
                        output_tokens: part(output_tokens),
                        money: part(money),
                    }
                });
                let end = CallEnd { used, verdict: *verdict, took: None, feedback: feedback.clone() };
                Op::Settle { id: self.start + id, end }
            }
            Step::GiveBack(which) => Op::GiveBack { id: self.start + self.one_given(*which).0 },
            Step::Pause(wait) => Op::Pause { wait: *wait, why: format!("{wait} from now") },
            Step::Report => Op::Report,
        }
    }

    fn one_given(&self, which: prop::sample::Index) -> (u64, Spend) {
        match self.given.len() {
            0 => (0, Spend::default()),
            many => self.given[which.index(many)],
        }
    }

    /// What the twin in Rust says.
    fn answer(&mut self, op: &Op) -> Answer {
        match op {
            Op::Ask(ask) => {
                let slot = self.state.admit(ask, self.now);
                let paused = matches!(slot, Slot::TooFar { lack: Lack::Pause, .. });
                let why = if paused { self.state.pause_why().to_owned() } else { String::new() };
                if let Slot::At { at, id } = slot {
                    self.given.push((id, ask.spend));
                    return Answer::Slot(Slot::At { at, id: self.start + id }, why);
                }
                Answer::Slot(slot, why)
            }
            Op::Settle { id, end } => Answer::Changed(self.state.settle(id - self.start, end, self.now)),
            Op::GiveBack { id } => Answer::Changed(self.state.give_back(id - self.start, self.now)),
            Op::Pause { wait, why } => Answer::Changed(self.state.pause(self.now + wait, why)),
            Op::Report => Answer::Report(self.state.standing(self.now), Box::new(self.limits.clone())),
        }
    }
}

async fn live_through(
    redis: &Redis,
    limits: Limits,
    pacing: Pacing,
    start: u64,
    history: Vec<(u64, Vec<Step>)>,
) -> Result<(), TestCaseError> {
    let upstream = Uuid::now_v7().to_string();
    let state = QuotaState::new(&limits, pacing, start);
    let mut twins = Twins { limits: limits.clone(), state, start, now: start, given: Vec::new() };
    let mut call = QuotaCall {
        prefix: redis.prefix(),
        upstream: &upstream,
        limits: &limits,
        pacing,
        version: 1,
        lead: 0,
        valid_until: 0,
        clock: Some(start),
    };
    call.run(redis, &[]).await.unwrap();
    for (wait, steps) in history {
        twins.now += wait;
        call.clock = Some(twins.now);
        let ops: Vec<_> = steps.iter().map(|step| twins.op(step)).collect();
        let expected: Vec<_> = ops.iter().map(|op| twins.answer(op)).collect();
        let done = call.run(redis, &ops).await.unwrap().done.unwrap();
        prop_assert_eq!(done.answers, expected, "{:?} at {}", ops, twins.now);
    }
    Ok(())
}

#[test]
fn the_script_and_its_twin_in_rust_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = redis();
    let margin = prop_oneof![Just(0.0), 0.0..0.02f64];
    let strategy = (limits(), margin, 0.0..=1.0f64, any::<u32>(), history());
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |(limits, margin, burst, start, history)| {
            let pacing = Pacing { margin, burst };
            runtime.block_on(live_through(&redis, limits, pacing, START + u64::from(start), history))
        })
        .unwrap();
}
