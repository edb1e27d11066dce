//! A process that knows nothing of the one before does not go over the limit with it.

use proptest::prelude::*;

use super::*;

/// Asks after random waits, until a crash; then a fresh state asks as greedily as it can.
/// Returns what started: slots after the crash died with their process.
fn with_restart(limits: &Limits, pacing: Pacing, asks: &[(u64, u64)], rest: u64) -> Vec<Start> {
    let mut state = QuotaState::new(limits, pacing, 0);
    let (mut now, mut starts) = (0, Vec::new());
    for &(wait, tokens) in asks {
        now += wait;
        if let Slot::At { at, .. } = state.admit(&ask(tokens, SECOND), now) {
            starts.push(Start { at, tokens });
        }
    }
    starts.retain(|start| start.at <= now);
    now += rest;
    let mut state = QuotaState::new(limits, pacing, now);
    for &(_, tokens) in asks {
        starts.push(Start { at: slot(&mut state, tokens, now), tokens });
    }
    starts
}

/// Waits that leave time for bursts, and a crash just after one.
fn waits() -> impl Strategy<Value = u64> {
    prop_oneof![5 => 0..SECOND / 5, 1 => 0..20 * SECOND]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn requests_stay_within(
        amount in 1u64..60, waits in prop::collection::vec(waits(), 1..120), burst in 0.0..=1.0f64, rest in 0..SECOND,
    ) {
        let limits = requests(amount, 5 * SECOND);
        let asks: Vec<_> = waits.into_iter().map(|wait| (wait, 0)).collect();
        assert_within(&with_restart(&limits, Pacing { burst, ..Pacing::default() }, &asks, rest), &limits);
    }

    #[test]
    fn tokens_of_calls_alike_stay_within(
        size in 1u64..1_000, waits in prop::collection::vec(waits(), 1..80), burst in 0.0..=1.0f64, rest in 0..SECOND,
    ) {
        let limits = tokens(1_000, 5 * SECOND);
        let asks: Vec<_> = waits.into_iter().map(|wait| (wait, size)).collect();
        assert_within(&with_restart(&limits, Pacing { burst, ..Pacing::default() }, &asks, rest), &limits);
    }

    #[test]
    fn with_a_whole_burst_any_tokens_stay_within(
        asks in prop::collection::vec((waits(), 0u64..=1_000), 1..80), rest in 0..SECOND,
    ) {
        let limits = tokens(1_000, 5 * SECOND);
        assert_within(&with_restart(&limits, Pacing { burst: 1.0, ..Pacing::default() }, &asks, rest), &limits);
    }
}

/// What a fresh state owes is void after a window; then its bucket is no larger than ever.
#[test]
fn what_is_owed_is_not_given_twice() {
    let limits = requests(5, 5 * SECOND);
    let asks = [(4_820_484, 0), (19_220, 0), (177_870, 0), (7_426, 0), (0, 0)];
    assert_within(&with_restart(&limits, Pacing { burst: 0.65, ..Pacing::default() }, &asks, 0), &limits);
}

#[test]
fn a_fresh_state_starts_empty() {
    let mut state = QuotaState::new(&requests(600, MINUTE), Pacing::default(), 0);
    let slots: Vec<_> = (0..3).map(|_| slot(&mut state, 0, 0) / 1_000).collect();
    assert_eq!(slots, [1_206, 1_306, 1_407], "milliseconds: no burst, and first the burst of the one before");
}

#[test]
fn even_the_largest_call_needs_to_wait_for_one_window_only() {
    for (limits, tokens) in
        [(requests(1, MINUTE), 0), (tokens(1_000, MINUTE), 1_000), (tokens(1_000, MINUTE), 700)]
    {
        let mut state = QuotaState::new(&limits, Pacing { margin: 0.0, ..Pacing::default() }, 0);
        assert_eq!(slot(&mut state, tokens, 0), MINUTE);
    }
}
