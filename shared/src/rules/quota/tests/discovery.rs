//! Limits that are found, against limiters that say no.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::domain::{Dimension, DimensionStanding, Feedback, Verdict};

/// A limiter that counts for itself, and shares nothing with the state.
enum Limiter {
    /// So many in any window.
    Sliding { amount: usize, window: u64, went: VecDeque<u64> },
    /// A bucket of so many, of which one comes back in `every`.
    Bucket { size: u64, every: u64, full_at: u64 },
}

impl Limiter {
    fn sliding(amount: usize, window: u64) -> Self {
        Self::Sliding { amount, window, went: VecDeque::new() }
    }

    /// Whether a call may go; else how long it should wait.
    fn call(&mut self, at: u64) -> Result<(), u64> {
        match self {
            Self::Sliding { amount, window, went } => {
                while went.front().is_some_and(|first| first + *window < at) {
                    went.pop_front();
                }
                if went.len() >= *amount {
                    return Err(went[0] + *window + 1 - at);
                }
                went.push_back(at);
            }
            Self::Bucket { size, every, full_at } => {
                let full = (*full_at).max(at) + *every;
                if full - at > *size * *every {
                    return Err(full - at - *size * *every);
                }
                *full_at = full;
            }
        }
        Ok(())
    }
}

/// Callers that always want to call.
struct World {
    state: QuotaState,
    limiter: Limiter,
    latency: u64,
    /// Whether a 429 says for how long to wait.
    says_when: bool,
    /// What every answer states.
    states: Option<DimensionStanding>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ask,
    Arrive(u64),
    End(u64, Option<u64>),
}

impl World {
    /// Calls that went and that were refused, by minute.
    fn live(&mut self, callers: usize, minutes: usize) -> Vec<(u64, u64)> {
        let mut seen = vec![(0, 0); minutes];
        let mut events: BinaryHeap<_> = (0..callers).map(|caller| Reverse((0, caller, Event::Ask))).collect();
        while let Some(Reverse((now, caller, event))) = events.pop() {
            let Some(minute) = seen.get_mut(usize::try_from(now / MINUTE).unwrap()) else { break };
            let next = match event {
                Event::Ask => match self.state.admit(&ask(10, SECOND), now) {
                    Slot::At { at, id, .. } => (at, Event::Arrive(id)),
                    Slot::TooFar { at, .. } => (at, Event::Ask),
                    refused => panic!("{refused:?}"),
                },
                Event::Arrive(id) => match self.limiter.call(now) {
                    Ok(()) => {
                        minute.0 += 1;
                        (now + self.latency, Event::End(id, None))
                    }
                    Err(wait) => {
                        minute.1 += 1;
                        (now + SECOND / 10, Event::End(id, Some(wait)))
                    }
                },
                Event::End(id, refused) => {
                    let verdict = if refused.is_some() { Verdict::RateLimited } else { Verdict::Healthy };
                    let retry_after = refused.filter(|_| self.says_when).map(Duration::from_micros);
                    let feedback = Feedback { retry_after, standings: self.states.into_iter().collect() };
                    self.state.settle(id, &CallEnd { verdict, feedback, ..used(None) }, now);
                    (now, Event::Ask)
                }
            };
            events.push(Reverse((next.0, caller, next.1)));
        }
        seen
    }
}

fn world(limiter: Limiter) -> World {
    let limits = Limits { discover: true, ..Limits::default() };
    let state = QuotaState::new(&limits, Pacing::default(), 0);
    World { state, limiter, latency: SECOND, says_when: true, states: None }
}

fn limit(state: &mut QuotaState) -> Vec<(Dimension, u64, u64)> {
    let found = state.standing(0).found;
    found.into_iter().map(|(dimension, rate)| (dimension, rate.amount, rate.window.as_secs())).collect()
}

/// With 429s alone: first how long it takes, then how it stays.
#[test]
fn a_limit_is_learned_from_429s() {
    let per_minute = |every: u64| MINUTE / every;
    let table: [(&str, Limiter, u64); 6] = [
        ("500 in a sliding minute", Limiter::sliding(500, MINUTE), 500),
        ("6,000 in a sliding minute", Limiter::sliding(6_000, MINUTE), 6_000),
        ("30 in a sliding minute", Limiter::sliding(30, MINUTE), 30),
        ("10 in a sliding second", Limiter::sliding(10, SECOND), 600),
        (
            "a bucket of 10, 5 a second",
            Limiter::Bucket { size: 10, every: 200_000, full_at: 0 },
            per_minute(200_000),
        ),
        ("a bucket of 1,000, 20 a second", Limiter::Bucket { size: 1_000, every: 50_000, full_at: 0 }, 1_200),
    ];
    for (name, limiter, amount) in table {
        let mut world = world(limiter);
        let seen = world.live(100, 60);
        let near = seen.iter().position(|(went, _)| *went * 10 >= amount * 8).unwrap();
        let steady = &seen[30..];
        let went: u64 = steady.iter().map(|(went, _)| went).sum();
        let refused: u64 = steady.iter().map(|(_, refused)| refused).sum();
        let worst = steady.iter().map(|(_, refused)| *refused).max().unwrap();
        let share = went as f64 / (amount * 30) as f64;
        println!(
            "{name}: 80 % after {} min; then {share:.3} used, {:.2} refused a minute, {worst} at most",
            near + 1,
            refused as f64 / 30.0
        );
        assert!(share >= 0.8, "{name}: {seen:?}");
        assert!(near <= 20, "{name}: {seen:?}");
        assert!(refused <= 30 * 2 && worst <= 5, "{name}: {seen:?}");
    }
}

/// A 429 that says nothing pauses for five seconds.
#[test]
fn a_limit_is_learned_from_429s_without_a_word() {
    let mut world = World { says_when: false, ..world(Limiter::sliding(500, MINUTE)) };
    let seen = world.live(100, 60);
    let steady = &seen[30..];
    let went: u64 = steady.iter().map(|(went, _)| went).sum();
    assert!(went >= 500 * 30 * 8 / 10, "{seen:?}");
    assert!(steady.iter().all(|(_, refused)| *refused <= 5), "{seen:?}");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut world = world(Limiter::sliding(1_000_000, MINUTE));
    world.latency = 20 * SECOND;
    // Six callers of twenty seconds make 18 calls a minute.
    world.live(6, 120);
    let found = limit(&mut world.state);
    assert!(found[0].1 <= 120, "{found:?}: six at once, but no more");
}

fn states(dimension: Dimension, limit: u64, reset: Option<u64>, window: Option<u64>) -> DimensionStanding {
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    DimensionStanding {
        dimension,
        limit: Some(limit),
        remaining: None,
        reset: seconds(reset),
        window: seconds(window),
    }
}

fn hear(state: &mut QuotaState, standing: DimensionStanding, now: u64) {
    let Slot::At { id, .. } = state.admit(&ask(0, u64::MAX / 4), now) else { panic!("it may wait for ever") };
    let feedback = Feedback { standings: vec![standing], ..Feedback::default() };
    assert!(state.settle(id, &CallEnd { feedback, ..used(None) }, now));
}

#[test]
fn a_limit_that_is_stated_is_taken() {
    let mut world = World {
        states: Some(states(Dimension::Requests, 500, Some(1), None)),
        ..world(Limiter::sliding(500, MINUTE))
    };
    let seen = world.live(100, 10);
    assert!(seen.iter().all(|(_, refused)| *refused == 0), "{seen:?}");
    let went: u64 = seen[2..].iter().map(|(went, _)| went).sum();
    assert!(went >= 500 * 8 * 98 / 100, "{seen:?}");
}

/// The window that a limit says, or else the shortest usual one that its resets fit in.
#[test]
fn windows_are_stated_or_seen() {
    for (reset, window, expected) in [
        (None, None, 60),
        (Some(1), None, 60),
        (Some(61), None, 60),
        (Some(432), None, 3_600),
        (Some(40_000), None, 86_400),
        (Some(86_400), None, 60),
        (Some(40_000), Some(10), 10),
        (None, Some(1_000_000), 86_400),
    ] {
        let mut state = world(Limiter::sliding(1, 1)).state;
        hear(&mut state, states(Dimension::Requests, 200, reset, window), SECOND);
        assert_eq!(limit(&mut state), [(Dimension::Requests, 200, expected)], "{reset:?} {window:?}");
    }
}

/// Two models of one upstream have limits of their own: the smaller one is safe.
#[test]
fn less_is_believed_at_once_and_more_when_nobody_says_less() {
    let mut state = world(Limiter::sliding(1, 1)).state;
    let mut says = |tokens, second| {
        hear(&mut state, states(Dimension::Tokens, tokens, None, None), second * SECOND);
        limit(&mut state)[0].1
    };
    assert_eq!(says(90_000, 1), 90_000);
    assert_eq!(says(200_000, 2), 90_000);
    assert_eq!(says(10_000, 3), 10_000);
    assert_eq!(says(90_000, 30), 10_000);
    assert_eq!(says(10_000, 40), 10_000);
    assert_eq!(says(90_000, 99), 10_000);
    assert_eq!(says(90_000, 101), 90_000);
}

#[test]
fn what_people_say_stands_and_nonsense_is_ignored() {
    let limits = Limits { discover: true, ..requests(7, MINUTE) };
    let mut state = QuotaState::new(&limits, Pacing::default(), 0);
    let mut second = 0;
    for standing in [
        states(Dimension::Requests, 500, None, None),
        states(Dimension::Tokens, 0, None, None),
        states(Dimension::Concurrency, 3, None, None),
        states(Dimension::Money, 3, None, None),
    ] {
        second += 30;
        hear(&mut state, standing, second * SECOND);
    }
    assert_eq!(limit(&mut state), []);
    assert_eq!(state.standing(0).used[0].limit, 7);
}

/// A job is not given up because of what was found: the upstream may say no, not we.
#[test]
fn a_call_larger_than_a_found_limit_goes_when_nothing_else_does() {
    let mut state = world(Limiter::sliding(1, 1)).state;
    hear(&mut state, states(Dimension::Tokens, 100, None, None), SECOND);
    let Slot::At { at, .. } = state.admit(&ask(1_000, u64::MAX / 4), 10 * MINUTE) else {
        panic!("it may wait")
    };
    assert!(at <= 11 * MINUTE, "{at}");
}
