//! The breaker in the script and its twin in Rust give the same answers to the same histories.

use std::time::Duration;

use fleetline_shared::domain::Verdict;
use fleetline_shared::ports::{BreakerOptions, FailureRate};
use fleetline_shared::rules::{Breaker, BreakerStanding, BreakerTerms, Passage};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::Script;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_760_000_000_000_000;

const MAIN: &str = "
local answers, place = {}, 3
local now = tonumber(ARGV[2])
breaker_adopt(ARGV[1], now)
while ARGV[place] do
  local what = ARGV[place]
  if what == 'wait' then
    now = now + tonumber(ARGV[place + 1])
    place = place + 2
  elseif what == 'ask' then
    local passage, at = breaker_admit(now)
    if passage == PROBE and ARGV[place + 2] ~= '' then
      breaker_probe(tonumber(ARGV[place + 1]), now + tonumber(ARGV[place + 2]))
    end
    answers[#answers + 1] = { passage, at or 0 }
    place = place + 3
  else
    breaker_record(tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2]), ARGV[place + 3], now)
    place = place + 4
  end
  answers[#answers + 1] = breaker_report(now)
end
return answers";

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask(u64, bool),
    End(prop::sample::Index, Verdict),
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Failing), 2 => Just(Verdict::Healthy),
        1 => Just(Verdict::RateLimited), 1 => Just(Verdict::Unknown),
    ];
    prop_oneof![
        2 => (0..2 * SECOND).prop_map(Step::Wait),
        1 => (0..60 * SECOND).prop_map(Step::Wait),
        6 => (SECOND..90 * SECOND, prop::bool::weighted(0.8)).prop_map(|(ttl, quota)| Step::Ask(ttl, quota)),
        6 => (any::<prop::sample::Index>(), verdict).prop_map(|(which, verdict)| Step::End(which, verdict)),
    ]
}

fn options() -> impl Strategy<Value = BreakerOptions> {
    let rate = (1u32..=100, 1u32..20, 1..60 * SECOND).prop_map(|(percent, of_at_least, within)| {
        FailureRate { percent, of_at_least, within: Duration::from_micros(within) }
    });
    let open = (prop_oneof![6 => 0..60 * SECOND, 1 => Just(u64::MAX)], 0..300 * SECOND);
    (1u32..8, prop::option::of(rate), open, 0u32..=100).prop_map(|(failures, rate, (open, most), jitter)| {
        let (open_for, open_at_most) = (Duration::from_micros(open), Duration::from_micros(most));
        BreakerOptions { failures, rate, open_for, open_at_most, jitter }
    })
}

fn standing(standing: BreakerStanding) -> Vec<u64> {
    match standing {
        BreakerStanding::Closed(run) => vec![1, run],
        BreakerStanding::Open(until) => vec![2, until],
        BreakerStanding::HalfOpen(probing) => vec![3, u64::from(probing)],
    }
}

#[test]
fn the_breakers_answer_alike() {
    let code =
        concat!("local state = {}\n", include_str!("../../../../shared/src/redis/quotas/lua/breaker.lua"),);
    let script = Script::new(&format!("{code}{MAIN}"));
    let client = redis::Client::open(fleetline_tests::services::shared().redis.as_str()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut connection = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let strategy = (options(), any::<u32>(), prop::collection::vec(step(), 1..300));
    let mut seen = [0u64; 4];
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let seen_cell = std::cell::RefCell::new(&mut seen);
    let connection = std::cell::RefCell::new(&mut connection);
    TestRunner::new(config)
        .run(&strategy, |(options, start, steps)| {
            let terms = BreakerTerms::from(options);
            let mut now = START + u64::from(start);
            let mut breaker = Breaker::new(terms, now);
            let mut call = script.prepare_invoke();
            call.arg(terms.to_text()).arg(now);
            let mut given: Vec<(u64, u64)> = vec![(999_999, 0)];
            let mut expected: Vec<Vec<u64>> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(time) => {
                        now += time;
                        call.arg("wait").arg(time);
                    }
                    Step::Ask(ttl, quota) => {
                        let id = given.len() as u64;
                        call.arg("ask").arg(id).arg(if quota { ttl.to_string() } else { String::new() });
                        let passage = breaker.admit(now);
                        expected.push(match passage {
                            Passage::Free => vec![1, 0],
                            Passage::Probe => vec![2, 0],
                            Passage::NotBefore(at) => vec![3, at],
                        });
                        if quota && passage == Passage::Probe {
                            breaker.probe(id, now + ttl);
                        }
                        if quota && !matches!(passage, Passage::NotBefore(_)) {
                            given.push((id, now));
                        }
                    }
                    Step::End(which, verdict) => {
                        // The latest mostly: so that probes end.
                        let (id, started) = given[given.len() - 1 - which.index(given.len().min(4))];
                        let word = match verdict {
                            Verdict::Healthy => "healthy",
                            Verdict::Failing => "failing",
                            Verdict::RateLimited => "rate-limited",
                            Verdict::Unknown => "",
                        };
                        call.arg("end").arg(id).arg(started).arg(word);
                        breaker.record(id, started, verdict, now);
                    }
                }
                let found = standing(breaker.standing(now));
                seen_cell.borrow_mut()[usize::try_from(found[0]).unwrap()] += 1;
                expected.push(found);
            }
            let answers: Vec<Vec<u64>> =
                runtime.block_on(call.invoke_async(*connection.borrow_mut())).unwrap();
            prop_assert_eq!(answers, expected);
            Ok(())
        })
        .unwrap();
    eprintln!("standings seen: {seen:?}");
    assert!(seen[1..].iter().all(|times| *times > 1_000));
}
