//! Single answers.

use super::*;

fn state(limits: &Limits) -> QuotaState {
    QuotaState::new(limits, Pacing { margin: 0.0, burst: 1.0 }, 0)
}

/// A time at which the state knows the last window.
const WARM: u64 = 10 * MINUTE;

#[test]
fn without_limits_a_call_goes_at_once() {
    let mut state = QuotaState::new(&Limits::default(), Pacing::default(), 5);
    assert!((0..1_000).all(|_| slot(&mut state, u64::MAX, 5) == 5));
    assert_eq!(state.standing(5).in_flight, 1_000);
}

#[test]
fn beyond_the_hold_nothing_is_set_aside() {
    let mut state = state(&Limits { tokens: Some(rate(100, MINUTE)), ..requests(2, MINUTE) });
    assert_eq!(slot(&mut state, 60, WARM), WARM);
    let refused = Slot::TooFar { at: WARM + MINUTE + 1, lack: Lack::Tokens, part: None };
    assert_eq!(state.admit(&ask(41, MINUTE), WARM), refused);
    assert_eq!(state.standing(WARM).in_flight, 1, "no place");
    let later = WARM + 2 * MINUTE;
    assert_eq!(slot(&mut state, 50, later), later);
    assert_eq!(slot(&mut state, 50, later), later, "no request and no tokens");
    let refused = Slot::TooFar { at: later + MINUTE + 1, lack: Lack::Requests, part: None };
    assert_eq!(state.admit(&ask(0, MINUTE), later), refused);
    assert_eq!(slot(&mut state, 0, later), later + MINUTE + 1);
}

#[test]
fn the_hold_itself_is_within_the_hold() {
    let mut state = state(&requests(1, MINUTE));
    slot(&mut state, 0, WARM);
    assert!(matches!(state.admit(&ask(0, MINUTE), WARM), Slot::TooFar { .. }));
    assert!(matches!(state.admit(&ask(0, MINUTE + 1), WARM), Slot::At { .. }));
}

#[test]
fn a_call_larger_than_the_limit_can_never_go() {
    let mut state = state(&tokens(100, MINUTE));
    let never = Slot::Never { lack: Lack::Tokens, limit: 100 };
    assert_eq!(state.admit(&ask(101, u64::MAX / 4), WARM), never);
    assert!(matches!(state.admit(&ask(100, 0), WARM), Slot::At { .. }));
    let closed = QuotaState::new(&requests(0, MINUTE), Pacing::default(), 0).admit(&ask(0, MINUTE), WARM);
    assert_eq!(closed, Slot::Never { lack: Lack::Requests, limit: 0 });
}

#[test]
fn a_place_is_free_when_settled_or_when_its_time_is_over() {
    let mut state =
        QuotaState::new(&Limits { concurrency: Some(2), ..Limits::default() }, Pacing::default(), 0);
    let short = SlotAsk { ttl: 10, ..ask(0, 0) };
    let Slot::At { id: first, .. } = state.admit(&short, 0) else { panic!("places are free") };
    let Slot::At { id: second, .. } = state.admit(&ask(0, 0), 0) else { panic!("a place is free") };
    assert_eq!(state.admit(&short, 9), Slot::Full { until: 10 });
    assert!(matches!(state.admit(&short, 10), Slot::At { .. }));
    assert!(!state.settle(first, &used(None), 10), "its time is over");
    assert_eq!(state.admit(&short, 11), Slot::Full { until: 20 });
    assert!(state.settle(second, &used(None), 11));
    assert!(matches!(state.admit(&short, 11), Slot::At { .. }));
}

#[test]
fn the_longer_pause_wins() {
    let mut state = state(&Limits::default());
    assert!(state.pause(50, ""));
    assert!(!state.pause(40, ""));
    assert_eq!(state.admit(&ask(0, 9), 40), Slot::TooFar { at: 50, lack: Lack::Pause, part: None });
    assert_eq!(slot(&mut state, 0, 40), 50);
    assert_eq!(slot(&mut state, 0, 51), 51);
}

#[test]
fn more_used_than_guessed_is_paid_back() {
    let mut state = QuotaState::new(&tokens(600, MINUTE), Pacing { margin: 0.0, burst: 0.1 }, 0);
    let Slot::At { id, at: WARM, .. } = state.admit(&ask(60, 0), WARM) else { panic!("the bucket is full") };
    assert!(state.settle(id, &used(Some(160)), WARM + 5 * SECOND));
    // 160 of a bucket of 60: 100 are owed, and 10 are refilled each second.
    assert_eq!(slot(&mut state, 1, WARM + 5 * SECOND), WARM + 10 * SECOND + SECOND / 10);
}

#[test]
fn a_wrong_number_is_forgotten_with_its_window() {
    let mut state = QuotaState::new(&tokens(600, MINUTE), Pacing { margin: 0.0, burst: 0.1 }, 0);
    let Slot::At { id, at: WARM, .. } = state.admit(&ask(60, 0), WARM) else { panic!("the bucket is full") };
    assert!(state.settle(id, &used(Some(u64::MAX)), WARM + 5 * SECOND));
    let refused = Slot::TooFar { at: WARM + MINUTE + SECOND / 10, lack: Lack::Tokens, part: None };
    assert_eq!(state.admit(&ask(1, SECOND), WARM + 5 * SECOND), refused, "then on at the pace");
}

#[test]
fn less_used_than_guessed_comes_back() {
    let mut state = QuotaState::new(&tokens(600, MINUTE), Pacing { margin: 0.0, burst: 0.1 }, 0);
    let Slot::At { id, at: WARM, .. } = state.admit(&ask(60, 0), WARM) else { panic!("the bucket is full") };
    assert!(matches!(state.admit(&ask(60, SECOND), WARM), Slot::TooFar { .. }));
    assert!(state.settle(id, &used(Some(0)), WARM));
    assert_eq!(slot(&mut state, 60, WARM), WARM);
}

#[test]
fn nonsense_numbers_do_no_harm() {
    let mut state = QuotaState::new(&tokens(u64::MAX, Duration::MAX.as_secs()), Pacing::default(), 0);
    for now in [0, MINUTE, u64::MAX / 8] {
        if let Slot::At { id, .. } = state.admit(
            &SlotAsk { spend: guess(u64::MAX), hold: u64::MAX, ttl: u64::MAX, ..SlotAsk::default() },
            now,
        ) {
            state.settle(id, &used(Some(u64::MAX)), now);
        }
    }
}
