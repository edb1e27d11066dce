//! The script and its twin in Rust give the same answers to the same histories.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback, Spend, Verdict};
use fleetline_shared::ports::{
    AdaptiveOptions, BreakerOptions, CallEnd, FailureRate, Limits, PartName, Rate, Rates,
};
use fleetline_shared::redis::Redis;
use fleetline_shared::redis::quotas::answer::Answer;
use fleetline_shared::redis::quotas::call::{Op, QuotaCall};
use fleetline_shared::rules::{
    BreakerStanding, BreakerTerms, METERED, Pacing, QuotaState, Slot, SlotAsk, adaptive_bounds,
};
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
        lead: u64,
        ttl: u64,
        tenant: u8,
        model: u8,
    },
    /// Ends one of the calls that were given out, the latest mostly, perhaps again, with so many
    /// percent of its units.
    /// It took so long.
    Settle(prop::sample::Index, Option<u64>, Verdict, Option<u64>, Feedback),
    /// One of them was not made.
    GiveBack(prop::sample::Index),
    Pause(u64),
    /// Ahead, and thousandths of the budget.
    Resume(u64, u64),
    /// So much ahead, of a tenant's or of a model's limit.
    Doubt(u64, bool, u8),
    /// A call that was admitted elsewhere: an ask without a hold.
    Begun(Box<Step>),
    Report,
}

fn step() -> impl Strategy<Value = Step> {
    let thousandths = || prop_oneof![6 => 0u64..100, 2 => 0u64..=1_000, 1 => 1_001u64..1_100];
    let units = [thousandths(), thousandths(), thousandths()];
    let lead = prop_oneof![12 => Just(0), 1 => 0u64..SECOND];
    let ask = (units, 0u64..3 * SECOND, lead, 1u64..20 * SECOND, 0u8..4, 0u8..3);
    // Now and then a wrong number.
    let percents = prop_oneof![
        5 => Just(None), 5 => (0u64..=100).prop_map(Some), 5 => (100u64..400).prop_map(Some),
        1 => Just(Some(100u64 << 30)),
    ];
    let verdict = prop_oneof![
        5 => Just(Verdict::Healthy), 4 => Just(Verdict::Failing), 1 => Just(Verdict::RateLimited),
        1 => Just(Verdict::Unknown),
    ];
    let took = prop_oneof![6 => (SECOND..2 * SECOND).prop_map(Some), 3 => (0..10 * SECOND).prop_map(Some), 1 => Just(None), 1 => Just(Some(u64::MAX / 16))];
    let ask = ask.prop_map(|(units, hold, lead, ttl, tenant, model)| Step::Ask {
        units,
        hold,
        lead,
        ttl,
        tenant,
        model,
    });
    prop_oneof![
        16 => ask.clone(),
        12 => (any::<prop::sample::Index>(), percents, verdict, took, feedback())
            .prop_map(|(which, used, verdict, took, feedback)| Step::Settle(which, used, verdict, took, feedback)),
        2 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        2 => (0u64..3 * SECOND).prop_map(Step::Pause),
        1 => (0u64..3 * SECOND, 0u64..400).prop_map(|(ahead, money)| Step::Resume(ahead, money)),
        1 => (0u64..9 * SECOND, any::<bool>(), 0u8..3)
            .prop_map(|(ahead, of_tenant, which)| Step::Doubt(ahead, of_tenant, which)),
        1 => ask.prop_map(|ask| Step::Begun(Box::new(ask))),
        2 => Just(Step::Report),
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
    let limit = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 2 => (0u64..40).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    let standing = (
        prop::sample::select(dimensions),
        limit,
        remaining,
        time(),
        prop_oneof![4 => Just(None), 1 => time()],
    )
        .prop_map(|(dimension, limit, remaining, reset, window)| DimensionStanding {
            dimension,
            limit,
            remaining,
            reset,
            window,
        });
    let standings = prop_oneof![2 => Just(0..1), 1 => Just(0..6)];
    let standings = standings.prop_flat_map(move |many| prop::collection::vec(standing.clone(), many));
    (time(), standings).prop_map(|(retry_after, standings)| Feedback { retry_after, standings })
}

/// A wait, and what happens after it in one script call: each step so many times.
type Turn = (u64, Vec<(Step, u64)>);

fn history() -> impl Strategy<Value = Vec<Turn>> {
    let wait = prop_oneof![4 => 0..SECOND / 5, 4 => 0..SECOND, 1 => 0..30 * SECOND];
    let times = prop_oneof![4 => Just(1), 1 => 2u64..12];
    prop::collection::vec((wait, prop::collection::vec((step(), times), 1..12)), 1..60)
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
    let breaker = prop::option::of(breaker());
    let rates = prop_oneof![2 => rates(4), 1 => Just(Rates::default())];
    let strategy =
        (rates, concurrency, per_tenant, per_model, breaker, any::<bool>(), prop::option::of(adaptive()));
    strategy.prop_map(|(rates, concurrency, per_tenant, per_model, breaker, discover, adaptive)| {
        let Rates { requests, input_tokens, output_tokens, tokens, budget } = rates;
        // A part without limits is none: the script does not hear of it.
        let is_limited = |rates: &Rates| *rates != Rates::default();
        let per_tenant = per_tenant.filter(is_limited);
        let per_model = per_model.into_iter().filter(|(_, rates)| is_limited(rates));
        let per_model: BTreeMap<_, _> = per_model.map(|(model, rates)| (model_name(model), rates)).collect();
        Limits {
            requests,
            input_tokens,
            output_tokens,
            tokens,
            budget,
            concurrency,
            per_tenant,
            per_model,
            breaker,
            discover,
            adaptive,
            lifted: false,
        }
    })
}

fn adaptive() -> impl Strategy<Value = AdaptiveOptions> {
    (1u32..20, 0u32..100).prop_map(|(min, more)| AdaptiveOptions { min, max: min + more })
}

fn breaker() -> impl Strategy<Value = BreakerOptions> {
    let rate = (1u32..=100, 1u32..20, 1..60 * SECOND).prop_map(|(percent, of_at_least, within)| {
        FailureRate { percent, of_at_least, within: Duration::from_micros(within) }
    });
    let open = (prop_oneof![12 => 0..4 * SECOND, 1 => Just(u64::MAX)], 0..20 * SECOND);
    (1u32..5, prop::option::of(rate), open, 0u32..=100).prop_map(|(failures, rate, (open, most), jitter)| {
        let (open_for, open_at_most) = (Duration::from_micros(open), Duration::from_micros(most));
        // Rounded as both twins do.
        BreakerTerms::from(BreakerOptions { failures, rate, open_for, open_at_most, jitter }).options()
    })
}

fn tenant_name(tenant: u8) -> String {
    format!("tenant\n{tenant}")
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
            Step::Ask { units, hold, lead, ttl, tenant, model } => {
                let of = |rate: Option<Rate>, thousandths: u64| {
                    let amount = rate.map_or(1_000, |rate| rate.amount);
                    u64::try_from(u128::from(amount) * u128::from(thousandths) / 1_000).unwrap()
                };
                let spend = Spend {
                    input_tokens: of(self.limits.input_tokens.or(self.limits.tokens), units[0]),
                    output_tokens: of(self.limits.output_tokens, units[1]),
                    money: of(self.limits.budget, units[2]),
                };
                let (tenant, model) = (tenant_name(*tenant), model_name(&model.to_string()));
                Op::Ask(SlotAsk { spend, hold: *hold, lead: *lead, ttl: *ttl, tenant, model })
            }
            Step::Settle(which, percent, verdict, took, feedback) => {
                let (id, spend) = self.one_given(*which);
                let used = percent.map(|percent| {
                    let part = |units: u64| (units / 100).saturating_mul(percent).saturating_add(units % 100);
                    let Spend { input_tokens, output_tokens, money } = spend;
                    Spend {
                        input_tokens: part(input_tokens),
                        output_tokens: part(output_tokens),
                        money: part(money),
                    }
                });
                let took = took.map(Duration::from_micros);
                let end = CallEnd { used, verdict: *verdict, took, feedback: feedback.clone() };
                Op::Settle { id: self.start + id, end }
            }
            Step::GiveBack(which) => Op::GiveBack { id: self.start + self.one_given(*which).0 },
            Step::Resume(ahead, thousandths) => {
                let budget = self.limits.budget.map_or(0, |rate| rate.amount);
                Op::Resume { ahead: *ahead, money: budget / 1_000 * thousandths }
            }
            Step::Doubt(ahead, of_tenant, which) => {
                let model = || PartName::Model(model_name(&which.to_string()));
                let part = if *of_tenant { PartName::Tenant(tenant_name(*which)) } else { model() };
                Op::Doubt { part, ahead: *ahead }
            }
            Step::Begun(ask) => match self.op(ask) {
                // Limits that are found may be so small that times are beyond a double's precision.
                Op::Ask(ask) if !self.limits.discover => Op::Begun(ask),
                other => other,
            },
            Step::Pause(wait) => Op::Pause { wait: *wait, why: format!("{wait} from now") },
            Step::Report => Op::Report,
        }
    }

    /// The same step some times: of calls that end, those that were given out after the first one's.
    fn ops(&self, step: &Step, times: u64) -> Vec<Op> {
        let mut op = self.op(step);
        let mut next = || {
            let this = op.clone();
            if let Op::Settle { id, .. } | Op::GiveBack { id } = &mut op {
                *id += 1;
            }
            this
        };
        (0..times).map(|_| next()).collect()
    }

    fn one_given(&self, which: prop::sample::Index) -> (u64, Spend) {
        match self.given.len() {
            0 => (0, Spend::default()),
            many if which.index(4) > 0 => self.given[many - 1 - which.index(many.min(6))],
            many => self.given[which.index(many)],
        }
    }

    /// What the twin in Rust says.
    fn answer(&mut self, op: &Op) -> Answer {
        match op {
            Op::Ask(ask) => {
                let slot = self.state.admit(ask, self.now);
                match slot {
                    Slot::At { at, id, probe } => {
                        self.given.push((id, ask.spend));
                        Answer::Slot(Slot::At { at, id: self.start + id, probe }, String::new())
                    }
                    Slot::TooFar { lack, .. } => {
                        Answer::Slot(slot, self.state.note(lack, self.now).to_owned())
                    }
                    Slot::Full { .. } | Slot::Never { .. } => Answer::Slot(slot, String::new()),
                }
            }
            Op::Settle { id, end } => Answer::Changed(self.state.settle(id - self.start, end, self.now)),
            Op::GiveBack { id } => Answer::Changed(self.state.give_back(id - self.start, self.now)),
            Op::Pause { wait, why } => Answer::Changed(self.state.pause(self.now + wait, why)),
            Op::Resume { ahead, money } => {
                self.state.resume(*ahead, Some(*money), self.now);
                Answer::Changed(true)
            }
            Op::Doubt { part, ahead } => {
                self.state.doubt_part(part, *ahead, self.now);
                Answer::Changed(true)
            }
            Op::Begun(ask) => {
                let slot = self.state.begun(ask, self.now);
                let slot = match slot {
                    Slot::At { at, id, probe } => {
                        self.given.push((id, ask.spend));
                        Slot::At { at, id: self.start + id, probe }
                    }
                    slot => slot,
                };
                Answer::Slot(slot, String::new())
            }
            Op::Renew { .. } => Answer::Changed(true),
            Op::Report => Answer::Report(self.state.standing(self.now), Box::new(self.limits.clone())),
        }
    }
}

/// What the histories came to, so that none of it is left out by chance.
#[derive(Debug, Default)]
struct Seen {
    slots: usize,
    /// Slots at the same time as the one before them.
    together: usize,
    probes: usize,
    open: usize,
    half_open: usize,
    /// Places that were found, not begun with.
    adapted: usize,
    /// Calls per minute that were learned, not begun with.
    learned: usize,
    /// Other limits that were found.
    stated: usize,
}

impl Seen {
    fn note(&mut self, answer: &Answer) {
        let (standing, limits) = match answer {
            Answer::Slot(Slot::At { probe, .. }, _) => {
                self.slots += 1;
                self.probes += usize::from(*probe);
                return;
            }
            Answer::Slot(..) | Answer::Changed(_) => return,
            Answer::Report(standing, limits) => (standing, limits),
        };
        match standing.breaker {
            Some(BreakerStanding::Open(_)) => self.open += 1,
            Some(BreakerStanding::HalfOpen(_)) => self.half_open += 1,
            Some(BreakerStanding::Closed(_)) | None => {}
        }
        let begun_with = limits.adaptive.map(|options| options.min);
        let is_adapted = begun_with.is_some_and(|min| standing.places.is_some_and(|places| places > min));
        self.adapted += usize::from(is_adapted);
        for (dimension, rate) in &standing.found {
            let is_first = *dimension == Dimension::Requests && rate.window == Duration::from_mins(1);
            match (is_first, rate.amount) {
                (true, 60) => {}
                (true, _) => self.learned += 1,
                (false, _) => self.stated += 1,
            }
        }
    }
}

async fn live_through(
    redis: &Redis,
    limits: Limits,
    pacing: Pacing,
    start: u64,
    history: Vec<Turn>,
    seen: &mut Seen,
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
        // In Rust no place needs to be renewed.
        life: u64::MAX,
        valid_until: 0,
        clock: Some(start),
    };
    call.run(redis, &[]).await.unwrap();
    for (wait, steps) in history {
        twins.now += wait;
        call.clock = Some(twins.now);
        let ops: Vec<_> = steps.iter().flat_map(|(step, times)| twins.ops(step, *times)).collect();
        let expected: Vec<_> = ops.iter().map(|op| twins.answer(op)).collect();
        let done = call.run(redis, &ops).await.unwrap().done.unwrap();
        for answer in &expected {
            seen.note(answer);
        }
        let slots: Vec<_> = expected.iter().filter_map(slot_time).collect();
        seen.together += slots.windows(2).filter(|slots| slots[0] == slots[1]).count();
        prop_assert_eq!(done.answers, expected, "{:?} at {}", ops, twins.now);
    }
    Ok(())
}

fn slot_time(answer: &Answer) -> Option<u64> {
    if let Answer::Slot(Slot::At { at, .. }, _) = answer { Some(*at) } else { None }
}

/// As the script is told them and reports them: with bounds that can be reached.
fn as_told(limits: Limits) -> Limits {
    let places = |places: u64| u32::try_from(places).unwrap();
    let adaptive =
        adaptive_bounds(&limits).map(|(min, max)| AdaptiveOptions { min: places(min), max: places(max) });
    Limits { adaptive, ..limits }
}

/// Calls that go and end well for the most part: long enough for places to be found.
fn calm() -> impl Strategy<Value = (Limits, Vec<Turn>)> {
    let options = (1u32..8, 0u32..100).prop_map(|(min, more)| AdaptiveOptions { min, max: min + more });
    let limits = (options, prop::option::of(1u32..40)).prop_map(|(options, concurrency)| Limits {
        adaptive: Some(options),
        concurrency,
        ..Limits::default()
    });
    let ask = (20 * SECOND..60 * SECOND).prop_map(|ttl| Step::Ask {
        units: [0; 3],
        hold: 0,
        lead: 0,
        ttl,
        tenant: 0,
        model: 0,
    });
    let verdict = prop_oneof![20 => Just(Verdict::Healthy), 1 => Just(Verdict::Failing)];
    let took = prop_oneof![6 => SECOND..2 * SECOND, 1 => 0..10 * SECOND];
    let settle = (any::<prop::sample::Index>(), verdict, took).prop_map(|(which, verdict, took)| {
        Step::Settle(which, None, verdict, Some(took), Feedback::default())
    });
    let step = prop_oneof![8 => ask, 8 => settle, 1 => Just(Step::Report)];
    let steps = prop::collection::vec((step, Just(1)), 20..60);
    let history = prop::collection::vec((0..SECOND / 2, steps), 5..40);
    (limits, history)
}

/// Lives through so many histories, and returns what was seen.
fn live_through_all<S>(cases: u32, histories: S) -> Seen
where
    S: Strategy<Value = (Limits, Vec<Turn>)>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = redis();
    let seen = RefCell::new(Seen::default());
    let margin = prop_oneof![Just(0.0), 0.0..0.02f64];
    let strategy = (histories, margin, 0.0..=1.0f64, any::<u32>());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |((limits, history), margin, burst, start)| {
            let limits = as_told(limits);
            let pacing = Pacing { margin, burst };
            let start = START + u64::from(start);
            runtime.block_on(live_through(&redis, limits, pacing, start, history, &mut seen.borrow_mut()))
        })
        .unwrap();
    let seen = seen.into_inner();
    println!("{seen:?}");
    seen
}

#[test]
fn the_script_and_its_twin_in_rust_answer_alike() {
    let Seen { slots, together, probes, open, half_open, learned, stated, .. } =
        live_through_all(800, (limits(), history()));
    // Enough of everything was seen: usually some three times as much.
    assert!(slots > 1_000 && together > 200, "{slots} {together}");
    assert!(probes > 40 && open > 60 && half_open > 60, "{probes} {open} {half_open}");
    assert!(learned > 50 && stated > 100, "{learned} {stated}");
}

#[test]
fn the_twins_find_the_same_concurrency() {
    let Seen { slots, adapted, .. } = live_through_all(100, calm());
    assert!(slots > 2_000 && adapted > 100);
}
