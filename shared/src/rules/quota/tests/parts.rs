//! Tenants and models within an upstream.

use std::collections::BTreeSet;

use super::*;
use crate::ports::Rates;

const JOBS: u64 = 300;
const HOLD: u64 = SECOND;
/// A job that comes back is with a worker so much later.
const WAY: u64 = SECOND / 50;

/// All jobs of a tenant ask at once, and come back when they are told. Returns the asks, and when the last
/// call began.
fn life(limits: &Limits) -> (u64, u64) {
    let mut state = QuotaState::new(limits, Pacing::default(), 0);
    let mut due: BTreeSet<(u64, u64)> = (0..JOBS).map(|job| (MINUTE, job)).collect();
    let (mut asks, mut last) = (0, 0);
    while let Some((now, job)) = due.pop_first() {
        asks += 1;
        match state.admit(&ask(100, HOLD), now) {
            Slot::At { at, .. } => last = at,
            Slot::TooFar { at, .. } => {
                due.insert((at.max(now) + WAY, job));
            }
            other => panic!("{other:?}"),
        }
    }
    (asks, last)
}

#[test]
fn whoever_a_part_refuses_comes_back_in_turn() {
    let tenants = |rates| Limits { per_tenant: Some(rates), ..Limits::default() };
    let calls = Rates { requests: Some(rate(60, MINUTE)), ..Rates::default() };
    let tokens = Rates { tokens: Some(rate(6_000, MINUTE)), ..Rates::default() };
    let model = Limits { per_model: [(String::new(), calls)].into(), ..Limits::default() };
    for limits in [tenants(calls), tenants(tokens), model] {
        let (asks, last) = life(&limits);
        assert!(asks <= 2 * JOBS + JOBS / 10, "{asks} asks of {JOBS} jobs: {limits:?}");
        let ideal = JOBS * SECOND;
        assert!(last - MINUTE <= ideal + ideal / 50, "{} s: {limits:?}", (last - MINUTE) / SECOND);
    }
}

#[test]
fn nobody_waits_for_those_who_do_not_come_back() {
    let calls = Rates { requests: Some(rate(60, MINUTE)), ..Rates::default() };
    let limits = Limits { per_tenant: Some(calls), ..Limits::default() };
    let mut state = QuotaState::new(&limits, Pacing::default(), 0);
    for _ in 0..10_000 {
        state.admit(&ask(0, HOLD), MINUTE);
    }
    let later = 3 * MINUTE;
    let first = state.admit(&ask(0, HOLD), later);
    assert!(matches!(first, Slot::At { at, .. } if at == later), "{first:?}");
    let mut refused = (0..10).map(|_| state.admit(&ask(0, HOLD), later)).filter_map(|slot| match slot {
        Slot::TooFar { at, .. } => Some(at),
        _ => None,
    });
    let back = refused.next().unwrap();
    assert!(back < later + 3 * SECOND, "{} s", (back - later) / SECOND);
}
