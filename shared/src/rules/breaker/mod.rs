//! The breaker of one upstream: whether a call may go, and what its end changes. Pure: times are
//! microseconds that the caller passes in and that never go back.
//!
//! ```text
//!            failures in a row, or a share of failures
//!   closed ------------------------------------------> open <----+
//!      ^                                                 | time  | probe fails
//!      |              probe succeeds                     v       |
//!      +--------------------------------------------- half-open -+
//! ```
//!
//! Half-open, one call at a time goes, the probe. Only its success closes the breaker, only its
//! failure starts the next open time. A probe that ends without a verdict makes way for another one. So
//! does one of which nothing was heard for as long as the breaker was open: its worker may have died, and
//! nobody else would call until the longest time that a call may take. If it was only slow, it still counts.
//!
//! What a call says about the upstream is as old as the call. So a closed breaker does not listen
//! to calls from before it closed, and an open one to its probes alone.
//!
//! A state that is lost begins anew, closed: an upstream that is still down then costs as many failed
//! calls as open the breaker, beside those that are under way by then.
//!
//! `breaker.lua` is the same in the quota script; a test holds the two together.

mod tally;
mod terms;
#[cfg(test)]
mod tests;

use tally::Tally;
pub use terms::BreakerTerms;

use crate::domain::Verdict;

/// While a probe is under way, ask again after this time: most calls end sooner than they must.
const PROBE_PATIENCE: u64 = 1_000_000;

/// Everything that is known of one upstream's health.
#[derive(Clone, Debug)]
pub struct Breaker {
    terms: BreakerTerms,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Closed {
        since: u64,
        /// Failures one after the other.
        run: u64,
        tally: Tally,
    },
    /// Half-open from `until` on.
    Open {
        until: u64,
        /// The open time, without jitter.
        length: u64,
        probe: Option<Probe>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The first one since it opened: all calls since then are probes.
    first: u64,
    /// From then on another one may go.
    end: u64,
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Free,
    /// It may, as the probe: [`Breaker::probe`] must be told if it really goes.
    Probe,
    /// It may not; asking before this time makes no sense.
    NotBefore(u64),
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerStanding {
    /// Calls go. So many failed one after the other.
    Closed(u64),
    /// No call goes before this time.
    Open(u64),
    /// One call at a time may go. Whether it is under way.
    HalfOpen(bool),
}

impl Breaker {
    /// A breaker that knows of no failure: closed.
    pub fn new(terms: BreakerTerms, now: u64) -> Self {
        Self { terms, phase: Phase::closed(now) }
    }

    /// Whether a call may go now. Changes nothing, so a call that does not go after all, for lack
    /// of quota, leaves the probe to others.
    pub fn admit(&self, now: u64) -> Passage {
        match &self.phase {
            Phase::Closed { .. } => Passage::Free,
            Phase::Open { until, .. } if now < *until => Passage::NotBefore(*until),
            Phase::Open { probe: Some(probe), .. } if now < probe.end => {
                Passage::NotBefore(probe.end.min(now + PROBE_PATIENCE))
            }
            Phase::Open { .. } => Passage::Probe,
        }
    }

    /// A call that was told to be the probe starts at `at`, and ends before `end`.
    pub fn probe(&mut self, id: u64, at: u64, end: u64) {
        if let Phase::Open { length, probe, .. } = &mut self.phase {
            let first = probe.map_or(id, |probe| probe.first);
            *probe = Some(Probe { first, end: end.min(at.saturating_add(*length)) });
        }
    }

    /// A call that was to start at `started` has ended. Calls that were given up are not recorded.
    /// Answers until when the breaker is open, if this has opened it.
    pub fn record(&mut self, id: u64, started: u64, verdict: Verdict, now: u64) -> Option<u64> {
        match &mut self.phase {
            Phase::Closed { since, run, tally } if started >= *since => match verdict {
                Verdict::Healthy => {
                    *run = 0;
                    tally.add(&self.terms, false, now);
                }
                Verdict::Failing => {
                    *run += 1;
                    tally.add(&self.terms, true, now);
                    if *run >= self.terms.failures || tally.is_over(&self.terms) {
                        return Some(self.open(self.terms.open_for, now));
                    }
                }
                Verdict::RateLimited | Verdict::Unknown => {}
            },
            Phase::Open { length, probe: Some(probe), .. } if id >= probe.first => match verdict {
                Verdict::Healthy => self.phase = Phase::closed(now),
                Verdict::Failing => {
                    let longer = self.terms.open_for.max(self.terms.open_at_most.min(2 * *length));
                    return Some(self.open(longer, now));
                }
                Verdict::RateLimited | Verdict::Unknown => probe.end = now,
            },
            Phase::Closed { .. } | Phase::Open { .. } => {}
        }
        None
    }

    /// How it stands.
    pub fn standing(&self, now: u64) -> BreakerStanding {
        match &self.phase {
            Phase::Closed { run, .. } => BreakerStanding::Closed(*run),
            Phase::Open { until, .. } if now < *until => BreakerStanding::Open(*until),
            Phase::Open { probe, .. } => {
                BreakerStanding::HalfOpen(probe.is_some_and(|probe| now < probe.end))
            }
        }
    }

    fn open(&mut self, length: u64, now: u64) -> u64 {
        let until = now + length + self.terms.jitter(length, now);
        self.phase = Phase::Open { until, length, probe: None };
        until
    }
}

impl Phase {
    fn closed(since: u64) -> Self {
        Self::Closed { since, run: 0, tally: Tally::default() }
    }
}
