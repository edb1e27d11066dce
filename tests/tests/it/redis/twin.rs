//! The script and its twin in Rust give the same answers to the same histories.

use std::time::Duration;

use fleetline_shared::ports::{Limits, Rate};
use fleetline_shared::redis::Redis;
use fleetline_shared::redis::quotas::answer::{Answer, Standing};
use fleetline_shared::redis::quotas::call::{Op, QuotaCall};
use fleetline_shared::rules::{Lack, Pacing, QuotaState, Slot, SlotAsk};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::redis;

const SECOND: u64 = 1_000_000;
/// Times as a server has them: sixteen digits.
const START: u64 = 1_760_000_000_000_000;

/// What happens at one time. Tokens are in thousandths of the limit.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        tokens: u64,
        hold: u64,
        ttl: u64,
    },
    /// Ends one of the calls that were given out, perhaps again, with so many percent of its tokens.
    Settle(prop::sample::Index, Option<u64>),
    Pause(u64),
    Report,
}

fn step() -> impl Strategy<Value = Step> {
    let tokens = prop_oneof![6 => 0u64..100, 2 => 0u64..=1_000, 1 => 1_001u64..1_100];
    let ask = (tokens, 0u64..3 * SECOND, 1u64..20 * SECOND);
    let percents = prop_oneof![Just(None), (0u64..=100).prop_map(Some), (100u64..400).prop_map(Some)];
    prop_oneof![
        8 => ask.prop_map(|(tokens, hold, ttl)| Step::Ask { tokens, hold, ttl }),
        3 => (any::<prop::sample::Index>(), percents).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => (0u64..3 * SECOND).prop_map(Step::Pause),
        1 => Just(Step::Report),
    ]
}

/// Waits, and what happens after each of them in one script call.
fn history() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    let wait = prop_oneof![4 => 0..SECOND / 5, 4 => 0..SECOND, 1 => 0..30 * SECOND];
    prop::collection::vec((wait, prop::collection::vec(step(), 1..12)), 1..60)
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = |(amount, window)| Some(Rate { amount, window: Duration::from_micros(window) });
    let requests = (prop_oneof![0u64..40, 40u64..5_000], SECOND / 10..10 * SECOND);
    let few = (600u64..5_000, SECOND / 10..10 * SECOND);
    // Products do not fit a double, and their shares are often whole: rounding would show.
    let many =
        (1u64 << 20..1 << 30, 1u64..86_400).prop_map(|(amount, window)| (amount * 1_000, window * SECOND));
    (
        prop_oneof![1 => Just(None), 3 => requests.prop_map(rate)],
        prop_oneof![1 => Just(None), 3 => few.prop_map(rate), 1 => many.prop_map(rate)],
        prop_oneof![Just(None), (1u32..20).prop_map(Some)],
    )
        .prop_map(|(requests, tokens, concurrency)| Limits { requests, tokens, concurrency })
}

/// Both, and the calls that they gave out.
struct Twins {
    limits: Limits,
    state: QuotaState,
    pause_why: String,
    /// Time of the start, which the script's ids are counted from.
    start: u64,
    now: u64,
    given: Vec<(u64, u64)>,
}

impl Twins {
    fn op(&self, step: &Step) -> Op {
        match step {
            Step::Ask { tokens, hold, ttl } => {
                let amount = self.limits.tokens.map_or(1_000, |rate| rate.amount);
                let tokens = u64::try_from(u128::from(amount) * u128::from(*tokens) / 1_000).unwrap();
                Op::Ask(SlotAsk { tokens, hold: *hold, ttl: *ttl })
            }
            Step::Settle(..) if self.given.is_empty() => Op::Settle { id: self.start, used: Some(1) },
            Step::Settle(which, percent) => {
                let (id, tokens) = self.given[which.index(self.given.len())];
                let used = percent.map(|percent| tokens / 100 * percent + tokens % 100);
                Op::Settle { id: self.start + id, used }
            }
            Step::Pause(wait) => Op::Pause { wait: *wait, why: format!("{wait} from now") },
            Step::Report => Op::Report,
        }
    }

    /// What the twin in Rust says.
    fn answer(&mut self, op: &Op) -> Answer {
        match op {
            Op::Ask(ask) => {
                let slot = self.state.admit(*ask, self.now);
                let paused = matches!(slot, Slot::TooFar { lack: Lack::Pause, .. });
                let why = if paused { self.pause_why.clone() } else { String::new() };
                if let Slot::At { at, id } = slot {
                    self.given.push((id, ask.tokens));
                    return Answer::Slot(Slot::At { at, id: self.start + id }, why);
                }
                Answer::Slot(slot, why)
            }
            Op::Settle { id, used } => Answer::Changed(self.state.settle(id - self.start, *used, self.now)),
            Op::Pause { wait, why } => {
                let longer = self.state.pause(self.now + wait);
                if longer {
                    self.pause_why.clone_from(why);
                }
                Answer::Changed(longer)
            }
            Op::Report => Answer::Report(Standing {
                in_flight: u32::try_from(self.state.in_flight(self.now)).unwrap(),
                paused_until: self.state.paused_until(),
                pause_why: self.pause_why.clone(),
                next_start: self.state.next_start(self.now),
                limits: self.limits,
            }),
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
    let state = QuotaState::new(limits, pacing, start);
    let mut twins = Twins { limits, state, pause_why: String::new(), start, now: start, given: Vec::new() };
    let mut call = QuotaCall {
        prefix: redis.prefix(),
        upstream: &upstream,
        limits,
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
