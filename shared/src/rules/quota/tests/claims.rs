//! What a large call claims, and what it leaves to smaller ones.

use super::*;

const HOUR: u64 = 60 * MINUTE;
const MILLION: u64 = 1_000_000;

fn state(window: u64) -> QuotaState {
    QuotaState::new(&tokens(MILLION, window), Pacing { margin: 0.0, burst: 0.02 }, 0)
}

fn refused(state: &mut QuotaState, tokens: u64, now: u64) -> u64 {
    let answer = state.admit(&ask(tokens, SECOND), now);
    let Slot::TooFar { at, .. } = answer else { panic!("{answer:?}") };
    at
}

/// Much was used a while ago, and the large call waits until that has left the window.
#[test]
fn smaller_calls_take_what_a_claim_can_spare() {
    // window, when so much was used, small calls that go: until the limit, or until they would delay the large one
    for (window, ago, small) in [(24 * HOUR, 13 * HOUR, 80..=80), (HOUR, 55 * MINUTE, 30..=40)] {
        let mut state = state(window);
        let used = 2 * window;
        assert_eq!(slot(&mut state, 600_000, used), used);
        let now = used + ago;
        let at = refused(&mut state, 500_000, now);
        assert_eq!(at, used + window + 1);
        let go = (0..100).filter(|_| matches!(state.admit(&ask(5_000, 0), now), Slot::At { .. })).count();
        assert!(small.contains(&go), "{go} small calls");
        assert!(matches!(state.admit(&ask(500_000, 0), at), Slot::At { .. }), "no later than it was told");
    }
}

/// Its job may have been cancelled.
#[test]
fn nobody_waits_for_a_large_call_that_is_far_ahead() {
    let mut state = state(24 * HOUR);
    let now = 48 * HOUR;
    for _ in 0..4 {
        slot(&mut state, 5_000, now);
    }
    assert!(refused(&mut state, 500_000, now) > now + 11 * HOUR);
    let small = state.admit(&ask(100, 9 * SECOND), now);
    assert!(matches!(small, Slot::At { .. }), "{small:?}");
    let near = refused(&mut state, 5_000, now);
    assert!(near < now + 8 * MINUTE, "{}", near - now);
    assert!(refused(&mut state, 100, now) > near, "a claim that is near stands");
}
