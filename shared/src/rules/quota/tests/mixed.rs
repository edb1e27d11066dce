//! Calls of any size get their turn beside many small ones that are always there.

use super::*;

const SMALL: u64 = 100;
/// The dispatcher keeps so much given out ahead.
const LEAD: u64 = SECOND / 2;
const STEP: u64 = SECOND / 100;

/// Small calls whenever less than the lead is given out, and from a window on one large call after the
/// other. Returns how often a large one was refused at most, and the share of the limit that was used.
fn life(amount: u64, window: u64, large: u64) -> (u32, f64) {
    let limits = tokens(amount, window);
    let step = STEP * window / MINUTE;
    let mut state = QuotaState::new(&limits, Pacing::default(), 0);
    let mut starts = Vec::new();
    let (mut refused, mut most_refused, mut back) = (0, 0, window);
    for now in (0..6 * window).step_by(usize::try_from(step).unwrap()) {
        if now >= back {
            match state.admit(&ask(large, SECOND), now) {
                Slot::At { at, .. } => {
                    starts.push(Start { at, tokens: large });
                    (refused, back) = (0, at + SECOND);
                }
                Slot::TooFar { at, .. } => {
                    refused += 1;
                    most_refused = most_refused.max(refused);
                    back = at;
                }
                other => panic!("{other:?}"),
            }
        }
        while state.standing(now).next_start < now + LEAD {
            let Slot::At { at, .. } = state.admit(&ask(SMALL, SECOND), now) else { break };
            starts.push(Start { at, tokens: SMALL });
        }
    }
    starts.retain(|start| start.at < 6 * window);
    assert_within(&starts, &limits);
    let used: u64 = starts.iter().filter(|start| start.at >= window).map(|start| start.tokens).sum();
    (most_refused, used as f64 / (5 * amount) as f64)
}

#[test]
fn large_calls_get_their_turn_beside_small_ones() {
    const AMOUNT: u64 = 600_000;
    for percent_of_hold in [5, 20, 30, 40, 50, 60, 80, 95, 120, 300, 1_000] {
        let (refused, share) = life(AMOUNT, MINUTE, AMOUNT / 60 * percent_of_hold / 100);
        println!("{percent_of_hold} % of a hold: refused {refused} times at most, {share:.4} used");
        assert!(refused <= 3, "{percent_of_hold}: refused {refused} times");
        // What lies ready for a call of ten holds, a sixth of the limit, cannot be used meanwhile.
        assert!(share > 0.92, "{percent_of_hold}: {share}");
    }
}

/// Calls that need minutes of an hour's limit.
#[test]
fn large_calls_get_their_turn_within_minutes() {
    const AMOUNT: u64 = 600_000;
    for minutes in [2, 5, 9] {
        let (refused, share) = life(AMOUNT, 60 * MINUTE, AMOUNT / 60 * minutes);
        assert!(refused <= 3, "{minutes}: refused {refused} times");
        assert!(share > 0.8, "{minutes}: {share}");
    }
}

/// A call that was refused has a claim on what is refilled: who looks when the next one may go, as the
/// dispatcher does, must see that too.
#[test]
fn the_next_start_is_behind_a_claim() {
    let mut state = QuotaState::new(&tokens(60_000, MINUTE), Pacing { margin: 0.0, burst: 0.02 }, 0);
    let now = 10 * MINUTE;
    for _ in 0..12 {
        assert_eq!(slot(&mut state, SMALL, now), now, "the bucket is full");
    }
    assert_eq!(state.standing(now).next_start, now + SECOND / 10, "a small call's tokens");
    let Slot::TooFar { at, .. } = state.admit(&ask(5_000, SECOND), now) else {
        panic!("the bucket is empty")
    };
    assert_eq!(at, now + 5 * SECOND);
    assert_eq!(state.standing(now).next_start, at + SECOND / 10);
    assert_eq!(
        state.admit(&ask(SMALL, SECOND), now),
        Slot::TooFar { at: at + SECOND / 10, lack: Lack::Tokens, part: None }
    );
}
