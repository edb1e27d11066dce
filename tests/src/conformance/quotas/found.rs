//! Limits that are found.

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback, Verdict};
use fleetline_shared::ports::{AdaptiveOptions, CallEnd, Limits, Rate};

use super::{Admission, Bench, Duration, QuotasFixture, window_rate};

/// What an answer states is in force from then on, and shown; calls go at a modest pace until then.
pub async fn what_answers_state_is_a_limit(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, Limits { discover: true, ..Limits::default() }).await;
    let limits = bench.report().await.limits;
    assert_eq!(limits.requests, Some(Rate { amount: 60, window: Duration::from_mins(1) }));
    assert_eq!((limits.discover, limits.tokens), (true, None));
    let rate = window_rate(fixture.pace(), 1_000);
    let standing = DimensionStanding {
        dimension: Dimension::Tokens,
        limit: Some(rate.amount),
        remaining: None,
        reset: None,
        window: Some(rate.window),
    };
    let feedback = Feedback { retry_after: None, standings: vec![standing] };
    let call = bench.go(0, 900).await;
    bench.end(call, CallEnd { feedback, ..CallEnd::unknown(None) }).await;
    assert_eq!(bench.report().await.limits.tokens, Some(rate));
    assert_eq!(bench.refused(1_000, 0).await.1, "tokens");
}

/// More places than at first, when calls take as long as before and others wait.
pub async fn places_are_found(fixture: &dyn QuotasFixture) {
    let adaptive = Some(AdaptiveOptions { min: 2, max: 10 });
    let bench = Bench::new(fixture, Limits { adaptive, ..Limits::default() }).await;
    let (mut place, _other) = (bench.go(0, 0).await, bench.go(0, 0).await);
    assert_eq!(bench.refused(0, 0).await.1, "concurrency");
    assert_eq!(bench.report().await.limits.concurrency, Some(2));
    for calls in 1.. {
        assert!(calls < 1_000, "no place was found");
        let took = Some(bench.pace.unit);
        bench.end(place, CallEnd { verdict: Verdict::Healthy, took, ..CallEnd::unknown(None) }).await;
        place = bench.go(0, 900).await;
        if matches!(bench.admit(0, 0).await, Admission::Go { .. }) {
            break;
        }
    }
    assert_eq!(bench.report().await.limits.concurrency, Some(3));
}
