//! An upstream that fails is left alone by everybody.

use fleetline_shared::domain::{Feedback, Verdict};
use fleetline_shared::ports::{BreakerOptions, BreakerReport, CallEnd, Limits, Reservation};

use super::{Admission, BTreeMap, Bench, QuotasFixture};

/// The open time, in units.
const OPEN: u32 = 10;

fn breaker(fixture: &dyn QuotasFixture) -> Limits {
    let open_for = fixture.pace().unit * OPEN;
    let breaker = BreakerOptions { open_for, open_at_most: open_for, jitter: 0, ..BreakerOptions::default() };
    Limits { breaker: Some(breaker), ..Limits::default() }
}

fn end(verdict: Verdict) -> CallEnd {
    CallEnd { verdict, ..CallEnd::unknown(None) }
}

/// Whether it was told to go, and if so as the probe.
async fn tries(bench: &Bench) -> Option<(Reservation, bool)> {
    match bench.admit(0, 0).await {
        Admission::Go { reservation, probe, .. } => Some((reservation, probe)),
        Admission::NotBefore { wait, why, .. } => {
            assert!(!wait.is_zero() && why.starts_with("breaker: "), "{wait:?} {why}");
            None
        }
    }
}

async fn fail(bench: &Bench, times: usize) {
    for _ in 0..times {
        let (call, probe) = tries(bench).await.expect("it is closed");
        assert!(!probe);
        bench.end(call, end(Verdict::Failing)).await;
    }
}

async fn until_half_open(bench: &Bench) {
    let half_open = async || {
        let standing = bench.report().await.breaker;
        matches!(standing, Some(BreakerReport::HalfOpen { probing: false })).then_some(())
    };
    bench.pace.becomes(Some(()), half_open).await;
}

/// After so many failures one after the other, and not before; reports say until when.
pub async fn a_failing_upstream_is_left_alone(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, breaker(fixture)).await;
    fail(&bench, 2).await;
    let (call, _) = tries(&bench).await.expect("two failures are few");
    bench.end(call, end(Verdict::Healthy)).await;
    fail(&bench, 2).await;
    assert_eq!(bench.report().await.breaker, Some(BreakerReport::Closed { failures: 2 }));
    fail(&bench, 1).await;
    assert!(tries(&bench).await.is_none());
    let (wait, why) = bench.refused(0, 900).await;
    assert_eq!(why, "breaker: open");
    assert!(wait <= bench.pace.unit * OPEN, "{wait:?}");
    let report = bench.report().await;
    let Some(BreakerReport::Open { probe_in }) = report.breaker else { panic!("{report:?}") };
    assert!(probe_in <= wait && report.next_in >= probe_in, "{report:?}");
}

/// A used-up quota is no failure, nor is a call of which nothing is known.
pub async fn a_429_never_opens_the_breaker(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, breaker(fixture)).await;
    let unit = bench.pace.unit;
    for _ in 0..5 {
        let limited = bench.go(0, 900).await;
        let feedback = Feedback { retry_after: Some(unit / 10), ..Feedback::default() };
        bench.end(limited, CallEnd { feedback, ..end(Verdict::RateLimited) }).await;
        let unknown = bench.go(0, 900).await;
        bench.end(unknown, end(Verdict::Unknown)).await;
    }
    assert_eq!(bench.report().await.breaker, Some(BreakerReport::Closed { failures: 0 }));
}

/// Half-open, one call of the whole fleet tries; its success lets all go, its failure nobody.
pub async fn one_call_of_the_fleet_tries(fixture: &dyn QuotasFixture) {
    let limits = BTreeMap::from([("api".to_owned(), breaker(fixture))]);
    let fleet = fixture.fleet(limits).await;
    let [one, other] = fleet.map(|quotas| Bench { quotas, pace: fixture.pace() });
    fail(&one, 2).await;
    fail(&other, 1).await;
    assert!(tries(&one).await.is_none() && tries(&other).await.is_none());
    for verdict in [Verdict::Failing, Verdict::Unknown, Verdict::Healthy] {
        until_half_open(&other).await;
        let (probe, is_probe) = tries(&one).await.expect("it may try");
        assert!(is_probe);
        assert!(tries(&other).await.is_none() && tries(&one).await.is_none(), "a second probe");
        assert_eq!(other.report().await.breaker, Some(BreakerReport::HalfOpen { probing: true }));
        one.end(probe, end(verdict)).await;
    }
    for bench in [&one, &other] {
        assert!(matches!(tries(bench).await, Some((_, false))), "it is closed");
    }
}

/// A state that is lost knows of no failure.
pub async fn a_lost_state_has_a_closed_breaker(fixture: &dyn QuotasFixture) {
    for _ in 0..2 {
        let bench = Bench::new(fixture, breaker(fixture)).await;
        fail(&bench, 3).await;
        assert!(tries(&bench).await.is_none());
    }
}
