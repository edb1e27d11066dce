//! Tenants and models within an upstream.

use std::collections::BTreeSet;

use super::*;
use crate::ports::{PartName, Rates};
use crate::rules::Part;

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

/// A model with 600 calls an hour, and an upstream with 6,000 a minute.
fn slow_model() -> Limits {
    let rates = Rates { requests: Some(rate(600, 60 * MINUTE)), ..Rates::default() };
    Limits { per_model: [("slow".to_owned(), rates)].into(), ..requests(6_000, MINUTE) }
}

fn slow() -> SlotAsk {
    SlotAsk { model: "slow".into(), ..ask(0, 0) }
}

/// When the next call with the model goes, and the next one without.
fn next_calls(state: &mut QuotaState, now: u64) -> (u64, u64) {
    let Slot::TooFar { at, part: Some(Part::Model), .. } = state.admit(&slow(), now) else {
        panic!("the model's limit holds it up")
    };
    (at - now, slot(state, 0, now) - now)
}

#[test]
fn a_share_makes_up_for_a_models_burst_by_itself() {
    let mut state = QuotaState::new(&slow_model(), Pacing { margin: 0.0, burst: 0.02 }, 0);
    for now in [MINUTE, 1_000 * MINUTE, 1_001 * MINUTE] {
        state.begin_share(SECOND, now);
        let (slow, other) = next_calls(&mut state, now);
        // A bucket of twelve, and its own call, six seconds each.
        assert_eq!(slow, SECOND + 13 * 6 * SECOND);
        assert!(other < 3 * SECOND, "{other}");
    }
}

#[test]
fn what_was_used_of_a_models_limit_elsewhere_holds_up_nobody_else() {
    let mut share = QuotaState::new(&slow_model(), Pacing::default(), 0);
    let now = 1_000 * MINUTE;
    share.begin_share(0, 0);
    assert!((0..12).all(|_| matches!(share.admit(&slow(), now), Slot::At { .. })));
    let (whole, parts) = share.deficit(now);
    let [(PartName::Model(model), deficit)] = parts.as_slice() else { panic!("{parts:?}") };
    assert!(
        whole < SECOND && model == "slow" && (71..=73).contains(&(deficit / SECOND)),
        "{whole} {deficit}"
    );
    let mut fleet = QuotaState::new(&slow_model(), Pacing::default(), 0);
    fleet.resume(whole, Some(0), now);
    fleet.doubt_part(&parts[0].0, *deficit, now);
    fleet.doubt_part(&PartName::Tenant("without a limit".into()), *deficit, now);
    let (slow, other) = next_calls(&mut fleet, now);
    assert!(slow >= *deficit + 60 * SECOND, "{slow}");
    assert!(other < 3 * SECOND, "{other}");
}

/// The call that ends has long left the window of its model's limit. Who is refused for want of a place has begun nothing
/// that it could be paid back to.
#[test]
fn an_early_refusal_leaves_nothing_behind() {
    let rates = Rates { output_tokens: Some(rate(1_000, SECOND)), ..Rates::default() };
    let per_model = [("slow".to_owned(), rates)].into();
    let limits = Limits { concurrency: Some(1), per_model, ..Limits::default() };
    let spend = Spend { output_tokens: 100, ..Spend::default() };
    let first = SlotAsk { spend, ..slow() };
    let life = |is_refused: bool| {
        let mut state = QuotaState::new(&limits, Pacing::default(), 0);
        let now = 10 * SECOND;
        let Slot::At { id, .. } = state.admit(&first, now) else { panic!("it is free") };
        let later = now + 20 * SECOND;
        state.resume(SECOND, None, later);
        if is_refused {
            assert!(matches!(state.admit(&slow(), later), Slot::Full { .. }));
        }
        state.settle(id, &used(Some(0)), later);
        format!("{:?}", state.admit(&slow(), later))
    };
    assert_eq!(life(true), life(false));
}
