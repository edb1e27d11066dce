//! Never more than the limit in any window, and not less than it either.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Calls as they come: pause before, tokens.
fn calls() -> impl Strategy<Value = Vec<(Duration, u64)>> {
    let pause = prop_oneof![Just(0_u64), 1..20_u64, 1..2_000_u64, Just(1_000_u64)];
    prop::collection::vec((pause.prop_map(Duration::from_millis), 0..40_u64), 1..300)
}

fn rate(amount: u64, ms: u64) -> Rate {
    Rate { amount, window: Duration::from_millis(ms) }
}

/// What was let in: when, and how many tokens.
fn admitted(limits: Limits, calls: &[(Duration, u64)]) -> Vec<(Duration, u64)> {
    let mut limiter = Limiter::new(limits);
    let mut now = Duration::ZERO;
    let mut admitted = Vec::new();
    for (pause, tokens) in calls {
        now += *pause;
        if limiter.admit(now, *tokens).is_ok() {
            admitted.push((now, *tokens));
            limiter.release();
        }
    }
    admitted
}

/// The most that any half-open window holds: one that begins with a use is the fullest.
fn fullest(uses: &[(Duration, u64)], window: Duration, size: impl Fn(u64) -> u64) -> u64 {
    let inside = |first: usize| {
        let end = uses[first].0 + window;
        uses[first..].iter().take_while(|(at, _)| *at < end).map(|(_, tokens)| size(*tokens)).sum()
    };
    (0..uses.len()).map(inside).max().unwrap_or_default()
}

proptest! {
    #[test]
    fn no_window_has_more_than_the_limit(
        calls in calls(), requests in 1..20_u64, tokens in 1..200_u64, ms in 1..5_000_u64,
    ) {
        let limits = Limits {
            requests: Some(rate(requests, ms)),
            tokens: Some(rate(tokens, ms)),
            ..Limits::default()
        };
        let uses = admitted(limits, &calls);
        prop_assert!(fullest(&uses, Duration::from_millis(ms), |_| 1) <= requests);
        prop_assert!(fullest(&uses, Duration::from_millis(ms), |tokens| tokens) <= tokens);
    }

    /// From the first use of any stretch to its last, no more than one full bucket and what refilled.
    #[test]
    fn no_stretch_has_more_than_a_bucket_and_its_refill(
        calls in calls(), requests in 1..20_u64, ms in 1..5_000_u64, burst in 1..5_000_u64,
    ) {
        let burst = Duration::from_millis(burst);
        let shape = Shape::TokenBucket { burst: Some(burst) };
        let limits = Limits { requests: Some(rate(requests, ms)), shape, ..Limits::default() };
        let uses = admitted(limits, &calls);
        let refill = |time: Duration| time.as_millis() * u128::from(requests) / u128::from(ms);
        let capacity = refill(burst).max(1);
        for (first, (from, _)) in uses.iter().enumerate() {
            for (count, (to, _)) in uses[first..].iter().enumerate() {
                let admitted = count as u128 + 1;
                let most = capacity + refill(to.saturating_sub(*from));
                prop_assert!(admitted <= most, "{admitted} of {most}");
            }
        }
    }

    /// A call that comes when it was told to is let in, and one a nanosecond earlier is not.
    #[test]
    fn the_wait_is_exact(
        calls in calls(), requests in 1..20_u64, tokens in 40..200_u64, ms in 1..5_000_u64, bucket: bool,
    ) {
        let shape = if bucket { Shape::TokenBucket { burst: None } } else { Shape::SlidingWindow };
        let (requests, tokens) = (Some(rate(requests, ms)), Some(rate(tokens, ms)));
        let mut limiter = Limiter::new(Limits { requests, tokens, concurrency: None, shape });
        let mut now = Duration::ZERO;
        for (pause, tokens) in calls {
            now += pause;
            if let Err(limited) = limiter.admit(now, tokens) {
                let wait = limited.wait.expect("it fits an empty window");
                prop_assert!(limiter.admit(now + wait.saturating_sub(Duration::from_nanos(1)), tokens).is_err());
                now += wait;
                prop_assert_eq!(limiter.admit(now, tokens), Ok(()));
            }
            limiter.release();
        }
    }

    /// Whoever keeps within a sliding window keeps within a bucket of that size too.
    #[test]
    fn a_bucket_takes_what_a_window_takes(calls in calls(), requests in 1..20_u64, ms in 1..5_000_u64) {
        let window = Limits { requests: Some(rate(requests, ms)), ..Limits::default() };
        let uses = admitted(window, &calls);
        let mut bucket = Limiter::new(Limits { shape: Shape::TokenBucket { burst: None }, ..window });
        for (at, tokens) in uses {
            prop_assert_eq!(bucket.admit(at, tokens), Ok(()));
        }
    }
}

#[test]
fn all_of_the_limit_can_be_used() {
    let limits = Limits { requests: Some(rate(10, 1_000)), ..Limits::default() };
    let every_ms = vec![(Duration::from_millis(1), 1); 3_000];
    // Ten at once, and ten more whenever those are a second old.
    assert_eq!(admitted(limits, &every_ms).len(), 30);
    let shape = Shape::TokenBucket { burst: Some(Duration::from_millis(100)) };
    // One at once, then one every 100 ms: at 101, 201, ... 2,901.
    assert_eq!(admitted(Limits { shape, ..limits }, &every_ms).len(), 30);
}

#[test]
fn a_rejected_call_uses_nothing() {
    let limits =
        Limits { requests: Some(rate(2, 1_000)), tokens: Some(rate(10, 1_000)), ..Limits::default() };
    let mut limiter = Limiter::new(limits);
    assert_eq!(limiter.admit(Duration::ZERO, 8), Ok(()));
    let over = limiter.admit(Duration::ZERO, 8).expect_err("too many tokens");
    assert_eq!((over.dimension, over.wait), (Dimension::Tokens, Some(Duration::from_secs(1))));
    assert_eq!((over.limit, over.used, over.asked), (10, 8, 8));
    assert_eq!(limiter.admit(Duration::ZERO, 2), Ok(()));
    let [requests, tokens] =
        limiter.standings(Duration::from_millis(300)).map(|standing| standing.expect("limited"));
    assert_eq!((requests.remaining, tokens.remaining), (0, 0));
    assert_eq!(requests.reset, Duration::from_millis(700));
    assert_eq!(limiter.admit(Duration::from_secs(1), 11).expect_err("more than a window has").wait, None);
}

#[test]
fn only_so_many_are_inside() {
    let mut limiter = Limiter::new(Limits { concurrency: Some(2), ..Limits::default() });
    assert!(limiter.admit(Duration::ZERO, 1).is_ok() && limiter.admit(Duration::ZERO, 1).is_ok());
    assert_eq!(
        limiter.admit(Duration::ZERO, 1).map_err(|limited| limited.dimension),
        Err(Dimension::Concurrency)
    );
    limiter.release();
    assert_eq!(limiter.admit(Duration::ZERO, 1), Ok(()));
}

#[test]
fn an_earlier_time_that_comes_later_harms_nothing() {
    for shape in [Shape::SlidingWindow, Shape::TokenBucket { burst: None }] {
        let mut limiter = Limiter::new(Limits { requests: Some(rate(1, 10)), shape, ..Limits::default() });
        assert!(limiter.admit(Duration::from_millis(20), 0).is_ok());
        assert!(limiter.admit(Duration::from_millis(19), 0).is_err());
    }
}
