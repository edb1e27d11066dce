//! Single histories.

use super::*;
use Verdict::{Failing, Healthy, RateLimited, Unknown};

#[test]
fn three_failures_one_after_the_other_open_it_for_a_minute() {
    let mut breaker = breaker(options());
    live(&mut breaker, &[Failing, Failing, Healthy, Failing, Failing], 0);
    assert_eq!(breaker.admit(6 * SECOND), Passage::Free);
    assert_eq!(breaker.standing(6 * SECOND), BreakerStanding::Closed(2));
    live(&mut breaker, &[Failing], 6 * SECOND);
    assert_eq!(breaker.admit(7 * SECOND), Passage::NotBefore(7 * SECOND + MINUTE));
    assert_eq!(breaker.standing(7 * SECOND), BreakerStanding::Open(7 * SECOND + MINUTE));
    assert_eq!(breaker.admit(7 * SECOND + MINUTE), Passage::Probe);
}

#[test]
fn rate_limits_and_unknown_ends_are_neither_failures_nor_successes() {
    let mut breaker = breaker(options());
    live(&mut breaker, &[Failing, RateLimited, Failing, Unknown, RateLimited, Unknown], 0);
    assert_eq!(breaker.standing(7 * SECOND), BreakerStanding::Closed(2));
    live(&mut breaker, &[Failing], 7 * SECOND);
    assert_eq!(breaker.standing(8 * SECOND), BreakerStanding::Open(8 * SECOND + MINUTE));
}

#[test]
fn a_share_of_failures_opens_it_if_there_are_enough_calls() {
    let rate = FailureRate { percent: 50, of_at_least: 6, within: Duration::from_secs(10) };
    let mut breaker = breaker(BreakerOptions { failures: 1_000, rate: Some(rate), ..options() });
    live(&mut breaker, &[Failing, Healthy, Failing, Healthy, Failing], 0);
    assert_eq!(breaker.admit(5 * SECOND), Passage::Free, "five calls say nothing");
    live(&mut breaker, &[Failing], 30 * SECOND);
    assert_eq!(breaker.admit(31 * SECOND), Passage::Free, "the five have left the window");
    live(&mut breaker, &[Healthy, Failing, Healthy, Healthy, Failing], 31 * SECOND);
    assert_eq!(breaker.standing(36 * SECOND), BreakerStanding::Open(36 * SECOND + MINUTE));
}

#[test]
fn one_probe_at_a_time() {
    let mut breaker = opened(options());
    let later = 3 * SECOND + MINUTE;
    assert_eq!(breaker.admit(later), Passage::Probe);
    assert_eq!(breaker.admit(later), Passage::Probe, "the first did not go: it lacked quota");
    assert_eq!(breaker.standing(later), BreakerStanding::HalfOpen(false));
    breaker.probe(9, later, later + 30 * SECOND);
    assert_eq!(breaker.standing(later), BreakerStanding::HalfOpen(true));
    assert_eq!(breaker.admit(later), Passage::NotBefore(later + SECOND), "it ends soon, probably");
    let near_its_end = later + 30 * SECOND - 1;
    assert_eq!(breaker.admit(near_its_end), Passage::NotBefore(later + 30 * SECOND));
}

#[test]
fn a_probe_decides() {
    let later = 3 * SECOND + MINUTE;
    for (verdict, then) in [
        (Healthy, Passage::Free),
        (Failing, Passage::NotBefore(later + SECOND + MINUTE)),
        (RateLimited, Passage::Probe),
        (Unknown, Passage::Probe),
    ] {
        let mut breaker = opened(options());
        breaker.probe(9, later, later + 30 * SECOND);
        breaker.record(9, later, verdict, later + SECOND);
        assert_eq!(breaker.admit(later + SECOND), then, "after {verdict:?}");
    }
}

#[test]
fn a_probe_of_which_nothing_is_heard_is_not_waited_for() {
    let later = 3 * SECOND + MINUTE;
    for (ttl, given_up) in [(30 * SECOND, 30 * SECOND), (10 * MINUTE, MINUTE)] {
        let mut breaker = opened(options());
        breaker.probe(9, later, later + ttl);
        assert_eq!(breaker.admit(later + given_up - 1), Passage::NotBefore(later + given_up));
        assert_eq!(breaker.admit(later + given_up), Passage::Probe);
        breaker.probe(10, later + given_up, later + given_up + ttl);
        breaker.record(10, later, Unknown, later + given_up + SECOND);
        assert_eq!(breaker.standing(later + given_up + SECOND), BreakerStanding::HalfOpen(false));
        breaker.record(9, later, Healthy, later + given_up + SECOND);
        assert_eq!(breaker.admit(later + given_up + SECOND), Passage::Free, "it was only slow");
    }
}

#[test]
fn calls_from_before_change_nothing() {
    let mut breaker = opened(options());
    for verdict in [Failing, Healthy, Failing] {
        breaker.record(4, 0, verdict, 10 * SECOND);
        assert_eq!(breaker.standing(10 * SECOND), BreakerStanding::Open(3 * SECOND + MINUTE));
    }
    let later = 3 * SECOND + MINUTE;
    breaker.probe(9, later, later + 30 * SECOND);
    breaker.record(5, 2 * SECOND, Healthy, later);
    breaker.record(6, 2 * SECOND, Failing, later);
    assert_eq!(breaker.standing(later), BreakerStanding::HalfOpen(true));
    breaker.record(9, later, Healthy, later + SECOND);
    for old in [0, 2 * SECOND, later] {
        breaker.record(7, old, Failing, later + SECOND);
    }
    assert_eq!(breaker.standing(later + SECOND), BreakerStanding::Closed(0));
}

#[test]
fn failed_probes_double_the_time_up_to_the_most() {
    let longest = Duration::from_mins(3);
    let mut breaker = opened(BreakerOptions { open_at_most: longest, ..options() });
    let mut now = 3 * SECOND;
    for minutes in [1, 2, 3, 3] {
        assert_eq!(breaker.admit(now), Passage::NotBefore(now + minutes * MINUTE));
        now += minutes * MINUTE;
        breaker.probe(9, now, now + SECOND);
        breaker.record(9, now, Failing, now);
    }
    now += 3 * MINUTE;
    breaker.probe(9, now, now + SECOND);
    breaker.record(9, now, Healthy, now);
    live(&mut breaker, &[Failing; 3], now);
    assert_eq!(breaker.standing(now), BreakerStanding::Open(now + 3 * SECOND + MINUTE), "it starts again");
}

#[test]
fn jitter_lengthens_by_a_share_and_differs() {
    let terms = BreakerTerms::from(BreakerOptions { jitter: 25, ..options() });
    let found: Vec<u64> = (0..1_000).map(|n| terms.jitter(MINUTE, n * SECOND)).collect();
    let most = MINUTE / 4;
    assert!(found.iter().all(|extra| *extra <= most));
    for part in 0..4 {
        let inside = found.iter().filter(|extra| (most / 4 * part..=most / 4 * (part + 1)).contains(*extra));
        assert!(inside.count() > 150, "no part of the range is rare");
    }
}

#[test]
fn terms_survive_being_written() {
    let rate = FailureRate { percent: 50, of_at_least: 6, within: Duration::from_secs(10) };
    for rate in [None, Some(rate)] {
        let options = BreakerOptions { rate, ..BreakerOptions::default() };
        let terms = BreakerTerms::from(options);
        assert_eq!(BreakerTerms::from_text(&terms.to_text()), Some(terms));
        assert_eq!(terms.options(), options);
    }
}
