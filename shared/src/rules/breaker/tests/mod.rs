//! The promises of the breaker, with time as a number.

mod answers;
mod promises;

use std::time::Duration;

use super::{Breaker, BreakerStanding, BreakerTerms, Passage};
use crate::domain::Verdict;
use crate::ports::{BreakerOptions, FailureRate};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Three failures, a minute exactly.
fn options() -> BreakerOptions {
    BreakerOptions { jitter: 0, ..BreakerOptions::default() }
}

fn breaker(options: BreakerOptions) -> Breaker {
    Breaker::new(BreakerTerms::from(options), 0)
}

/// Calls that end one second after they started, numbered from 1.
fn live(breaker: &mut Breaker, verdicts: &[Verdict], start: u64) {
    for (number, verdict) in (1..).zip(verdicts) {
        breaker.record(number, start + (number - 1) * SECOND, *verdict, start + number * SECOND);
    }
}

/// A breaker that opened after three seconds.
fn opened(options: BreakerOptions) -> Breaker {
    let mut breaker = breaker(options);
    live(&mut breaker, &[Verdict::Failing; 3], 0);
    breaker
}
