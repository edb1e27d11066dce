//! 429s, standings, tenants and models, budgets.

use super::*;
use crate::domain::{Dimension, DimensionStanding, Feedback, Verdict};
use crate::ports::Rates;
use crate::rules::Part;

fn state(limits: &Limits) -> QuotaState {
    QuotaState::new(limits, Pacing { margin: 0.0, burst: 1.0 }, 0)
}

/// A time at which the state knows the last window.
const WARM: u64 = 10 * MINUTE;

fn call(state: &mut QuotaState, now: u64) -> u64 {
    let Slot::At { id, .. } = state.admit(&ask(0, u64::MAX / 4), now) else { panic!("it may wait for ever") };
    id
}

fn said_429(seconds: Option<u64>) -> CallEnd {
    let retry_after = seconds.map(Duration::from_secs);
    let feedback = Feedback { retry_after, ..Feedback::default() };
    CallEnd { verdict: Verdict::RateLimited, feedback, ..used(None) }
}

#[test]
fn several_429s_pause_once() {
    let mut state = state(&requests(1_000, MINUTE));
    let calls: Vec<_> = (0..3).map(|_| call(&mut state, WARM)).collect();
    for (id, seconds) in calls.into_iter().zip([Some(7), Some(3_600), Some(1)]) {
        assert!(state.settle(id, &said_429(seconds), WARM));
        let standing = state.standing(WARM);
        assert_eq!((standing.paused_until, standing.effective), (WARM + 7 * SECOND, 700));
    }
    assert_eq!(state.note(Lack::Pause, WARM), "429");
}

#[test]
fn the_rate_shrinks_with_each_pause_to_a_twentieth_and_comes_back() {
    let mut state = state(&requests(1_000, MINUTE));
    let mut now = WARM;
    let mut shares = Vec::new();
    for _ in 0..10 {
        let id = call(&mut state, now);
        state.settle(id, &said_429(None), now);
        shares.push(state.standing(now).effective);
        now += 5 * SECOND;
    }
    assert_eq!(shares, [700, 490, 343, 240, 168, 117, 81, 56, 50, 50]);
    let grown: Vec<_> =
        [0, 1, 5, 9, 10, 100].map(|minutes| state.standing(now + minutes * MINUTE).effective).into();
    assert_eq!(grown, [50, 150, 550, 950, 1_000, 1_000], "a tenth in a window, from the end of the pause on");
}

/// When calls of a window went, which began at a time and were tried every `step` microseconds.
fn calls_from(state: &mut QuotaState, from: u64, step: u64) -> Vec<u64> {
    let times = (from..from + MINUTE).step_by(usize::try_from(step).unwrap());
    times.filter(|now| matches!(state.admit(&ask(0, 0), *now), Slot::At { .. })).collect()
}

#[test]
fn after_a_429_only_what_was_refilled_since_is_left() {
    let mut state = state(&requests(1_000, MINUTE));
    let id = call(&mut state, WARM);
    state.settle(id, &said_429(Some(60)), WARM);
    let from = WARM + MINUTE + 1_000;
    let at_once = (0..1_000).filter(|_| matches!(state.admit(&ask(0, 0), from), Slot::At { .. })).count();
    assert_eq!(at_once, 700, "of a bucket of 1,000");
}

#[test]
fn after_a_429_nobody_waits_for_the_window_to_pass() {
    let mut state = QuotaState::new(&requests(1_000, MINUTE), Pacing::default(), 0);
    let full = calls_from(&mut state, WARM, 10_000);
    assert!(full.len() > 990, "{}", full.len());
    let storm = WARM + MINUTE;
    let id = call(&mut state, storm);
    state.settle(id, &said_429(Some(1)), storm);
    let after = calls_from(&mut state, storm + SECOND, 10_000);
    let times: Vec<u64> = std::iter::once(storm + SECOND).chain(after.iter().copied()).collect();
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(gap < 100_000, "{gap} us without a call");
    // 0.7 of the limit, and a tenth of a window's growth on the way.
    assert!((690..=770).contains(&after.len()), "{}", after.len());
}

fn says(remaining: u64, reset: Option<u64>, window: Option<u64>) -> CallEnd {
    let standing = DimensionStanding {
        dimension: Dimension::Requests,
        limit: None,
        remaining: Some(remaining),
        reset: reset.map(Duration::from_secs),
        window: window.map(Duration::from_secs),
    };
    CallEnd { feedback: Feedback { retry_after: None, standings: vec![standing] }, ..used(None) }
}

#[test]
fn less_left_than_thought_is_used_by_others_until_the_reset() {
    let mut state = state(&requests(100, MINUTE));
    let id = call(&mut state, WARM);
    state.settle(id, &says(10, Some(30), None), WARM);
    assert_eq!(state.standing(WARM).used[0].others, 89);
    assert!((0..10).all(|_| slot(&mut state, 0, WARM) == WARM));
    assert_eq!(slot(&mut state, 0, WARM), WARM + 30 * SECOND);
}

#[test]
fn more_left_than_thought_changes_nothing() {
    let mut state = state(&requests(10, MINUTE));
    let id = call(&mut state, WARM);
    state.settle(id, &says(1_000_000, Some(30), None), WARM);
    assert!((0..9).all(|_| slot(&mut state, 0, WARM) == WARM));
    assert_eq!(slot(&mut state, 0, WARM), WARM + MINUTE + 1);
}

#[test]
fn standings_that_make_no_sense_are_ignored() {
    for nonsense in [
        says(0, None, None),
        says(0, Some(0), None),
        says(0, Some(86_400), None),
        says(0, Some(9), Some(3_600)),
    ] {
        let mut state = state(&requests(100, MINUTE));
        let id = call(&mut state, WARM);
        state.settle(id, &nonsense, WARM);
        assert_eq!(state.standing(WARM).used[0].others, 0, "{nonsense:?}");
    }
}

#[test]
fn only_later_calls_say_that_more_is_left() {
    let mut state = state(&requests(100, MINUTE));
    let [early, late] = [call(&mut state, WARM), call(&mut state, WARM)];
    state.settle(late, &says(20, Some(30), None), WARM);
    state.settle(early, &says(50, Some(30), None), WARM);
    assert_eq!(state.standing(WARM).used[0].others, 78, "an answer that was overtaken");
    let next = call(&mut state, WARM);
    state.settle(next, &says(50, Some(30), None), WARM);
    assert_eq!(state.standing(WARM).used[0].others, 47);
}

#[test]
fn a_tenants_limit_holds_up_no_other_tenant() {
    let per_tenant = Some(Rates { requests: Some(rate(2, MINUTE)), ..Rates::default() });
    let mut state = state(&Limits { per_tenant, ..requests(1_000, MINUTE) });
    let mut admit = |tenant: u64, now| state.admit(&SlotAsk { tenant: tenant.to_string(), ..ask(0, 0) }, now);
    for tenant in 0..200 {
        assert!((0..2).all(|_| matches!(admit(tenant, WARM), Slot::At { at: WARM, .. })), "{tenant}");
        let part = Some(Part::Tenant);
        assert_eq!(admit(tenant, WARM), Slot::TooFar { at: WARM + MINUTE + 1, lack: Lack::Requests, part });
    }
    // By now all are idle, and may have been forgotten.
    let later = WARM + 10 * MINUTE;
    for tenant in 0..200 {
        assert!(matches!(admit(tenant, later), Slot::At { .. }), "{tenant}");
    }
}

#[test]
fn a_budget_may_be_spent_at_once_but_not_in_the_first_window() {
    let mut state = state(&Limits { budget: Some(rate(1_000, MINUTE)), ..Limits::default() });
    let mut spend = |money, now| {
        let spend = Spend { money, ..Spend::default() };
        matches!(state.admit(&SlotAsk { spend, ..ask(0, 0) }, now), Slot::At { .. })
    };
    assert!(!spend(501, MINUTE / 2), "half of the window, half of the money");
    assert!(spend(500, MINUTE / 2));
    assert!(!spend(1, MINUTE / 2));
    assert!(spend(1_000, WARM));
    assert!(!spend(1, WARM + MINUTE));
    assert!(spend(1, WARM + MINUTE + 1));
}
