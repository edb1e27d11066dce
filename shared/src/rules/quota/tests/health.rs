//! The breaker among the other limits.

use super::*;
use crate::domain::Verdict;
use crate::ports::BreakerOptions;
use crate::rules::BreakerStanding;

/// Three failures open it for exactly a minute.
fn breaker() -> BreakerOptions {
    BreakerOptions { jitter: 0, ..BreakerOptions::default() }
}

fn end(verdict: Verdict) -> CallEnd {
    CallEnd { verdict, ..used(None) }
}

fn call(state: &mut QuotaState, now: u64) -> (u64, bool) {
    match state.admit(&ask(0, 0), now) {
        Slot::At { id, probe, .. } => (id, probe),
        refused => panic!("{refused:?}"),
    }
}

/// A state whose breaker opened just now.
fn opened(limits: Limits, now: u64) -> QuotaState {
    let limits = Limits { breaker: Some(breaker()), ..limits };
    let mut state = QuotaState::new(&limits, Pacing { margin: 0.0, burst: 1.0 }, 0);
    for _ in 0..3 {
        let (id, probe) = call(&mut state, now);
        assert!(!probe);
        state.settle(id, &end(Verdict::Failing), now);
    }
    state
}

const WARM: u64 = 10 * MINUTE;
const LATER: u64 = WARM + MINUTE;

#[test]
fn an_open_breaker_refuses_until_one_call_may_try() {
    let mut state = opened(requests(1_000, MINUTE), WARM);
    let refused = Slot::TooFar { at: LATER, lack: Lack::Breaker, part: None };
    assert_eq!(state.admit(&ask(0, u64::MAX / 4), WARM), refused, "whatever the hold");
    assert_eq!(state.note(Lack::Breaker, WARM), "open");
    let standing = state.standing(WARM);
    assert_eq!((standing.breaker, standing.next_start), (Some(BreakerStanding::Open(LATER)), LATER));
    assert_eq!((standing.used[0].used, standing.in_flight), (3, 0), "a refusal sets nothing aside");
    let (probe, is_probe) = call(&mut state, LATER);
    assert!(is_probe);
    let refused = Slot::TooFar { at: LATER + SECOND, lack: Lack::Breaker, part: None };
    assert_eq!(state.admit(&ask(0, 0), LATER), refused);
    assert!(state.note(Lack::Breaker, LATER).starts_with("one call tries"));
    state.settle(probe, &end(Verdict::Healthy), LATER);
    assert!(!call(&mut state, LATER).1);
}

#[test]
fn a_probe_that_tells_nothing_makes_way_for_another() {
    for verdict in [Verdict::Unknown, Verdict::RateLimited] {
        let mut state = opened(Limits::default(), WARM);
        let (probe, _) = call(&mut state, LATER);
        state.settle(probe, &end(verdict), LATER);
        let after_a_pause = LATER + 5 * SECOND;
        assert!(call(&mut state, after_a_pause).1, "{verdict:?}");
    }
}

#[test]
fn the_place_of_a_dead_probe_and_its_turn_get_free_together() {
    let mut state = opened(Limits { concurrency: Some(1), ..Limits::default() }, WARM);
    let (dead, _) = call(&mut state, LATER);
    assert_eq!(state.admit(&ask(0, 0), LATER), Slot::Full { until: LATER + MINUTE });
    let (second, is_probe) = call(&mut state, LATER + MINUTE);
    assert!(is_probe);
    assert!(!state.settle(dead, &end(Verdict::Healthy), LATER + MINUTE));
    state.settle(second, &end(Verdict::Healthy), LATER + MINUTE);
    assert_eq!(state.standing(LATER + MINUTE).breaker, Some(BreakerStanding::Closed(0)));
}

/// A probe that lacks quota leaves the turn to others, and what can never go is said at once.
#[test]
fn quota_is_asked_as_well() {
    let mut state = opened(Limits { requests: Some(rate(1_000, MINUTE)), ..tokens(500, MINUTE) }, WARM);
    assert_eq!(state.admit(&ask(501, 0), WARM), Slot::Never { lack: Lack::Tokens, limit: 500 });
    state.pause(LATER + SECOND, "maintenance");
    assert_eq!(
        state.admit(&ask(1, 0), LATER),
        Slot::TooFar { at: LATER + SECOND, lack: Lack::Pause, part: None }
    );
    assert_eq!(state.standing(LATER).breaker, Some(BreakerStanding::HalfOpen(false)));
    let Slot::At { probe, at, .. } = state.admit(&ask(1, 2 * SECOND), LATER) else {
        panic!("within the hold")
    };
    assert!(probe && at == LATER + SECOND);
}

#[test]
fn without_a_breaker_failures_change_nothing() {
    let mut state = QuotaState::new(&Limits::default(), Pacing::default(), 0);
    for _ in 0..10 {
        let (id, _) = call(&mut state, 0);
        state.settle(id, &end(Verdict::Failing), 0);
    }
    assert_eq!(state.standing(0).breaker, None);
}
