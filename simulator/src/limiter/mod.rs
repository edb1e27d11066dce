//! What callers are held to: calls and tokens per window, calls at the same time.
//!
//! Time is what the caller says, counted from any start, and never goes back.

mod bucket;
mod log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::bucket::Bucket;
use self::log::Log;
use crate::Rate;

/// How a rate is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// No window of that length, wherever it begins, has more than the amount.
    #[default]
    SlidingWindow,
    /// A bucket that refills evenly and begins full.
    TokenBucket {
        /// It holds what refills in this time; `None`: in a whole window.
        burst: Option<Duration>,
    },
}

/// What callers are held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls.
    pub requests: Option<Rate>,
    /// Tokens of requests and answers together.
    pub tokens: Option<Rate>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// How the rates are enforced.
    pub shape: Shape,
}

/// Which limit a call met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    Requests,
    Tokens,
    Concurrency,
}

impl Dimension {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) dimension: Dimension,
    /// Until there is room, if others take none of it; `None` if there never is, or nobody knows.
    pub(crate) wait: Option<Duration>,
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) asked: u64,
}

/// How a rate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    pub(crate) remaining: u64,
    /// Until all of it is there again.
    pub(crate) reset: Duration,
}

/// One rate.
#[derive(Debug)]
enum Meter {
    Log(Log),
    Bucket(Bucket),
}

impl Meter {
    fn new(rate: Rate, shape: Shape) -> Self {
        match shape {
            Shape::SlidingWindow => Self::Log(Log::new(rate)),
            Shape::TokenBucket { burst } => Self::Bucket(Bucket::new(rate, burst.unwrap_or(rate.window))),
        }
    }

    /// `Ok` if it fits now; else how long until it does, `None` for never.
    fn fits(&mut self, now: Duration, amount: u64) -> Result<(), Option<Duration>> {
        match self {
            Self::Log(log) => log.fits(now, amount),
            Self::Bucket(bucket) => bucket.fits(now, amount),
        }
    }

    fn take(&mut self, now: Duration, amount: u64) {
        match self {
            Self::Log(log) => log.take(now, amount),
            Self::Bucket(bucket) => bucket.take(now, amount),
        }
    }

    fn standing(&mut self, now: Duration) -> Standing {
        match self {
            Self::Log(log) => log.standing(now),
            Self::Bucket(bucket) => bucket.standing(now),
        }
    }
}

/// All limits of a simulator, and how they stand.
#[derive(Debug)]
pub(crate) struct Limiter {
    requests: Option<Meter>,
    tokens: Option<Meter>,
    concurrency: Option<u32>,
    in_flight: u32,
    latest: Duration,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let meter = |rate| Meter::new(rate, limits.shape);
        Self {
            requests: limits.requests.map(meter),
            tokens: limits.tokens.map(meter),
            concurrency: limits.concurrency,
            in_flight: 0,
            latest: Duration::ZERO,
        }
    }

    /// Lets a call in that needs so many tokens, or takes nothing of any limit.
    pub(crate) fn admit(&mut self, now: Duration, tokens: u64) -> Result<(), Limited> {
        let now = self.advance(now);
        if let Some(most) = self.concurrency.filter(|most| self.in_flight >= *most) {
            let (limit, used) = (most.into(), self.in_flight.into());
            return Err(Limited { dimension: Dimension::Concurrency, wait: None, limit, used, asked: 1 });
        }
        let mut worst: Option<Limited> = None;
        for (meter, dimension, asked) in
            [(&mut self.requests, Dimension::Requests, 1), (&mut self.tokens, Dimension::Tokens, tokens)]
        {
            let Some(meter) = meter else { continue };
            let Err(wait) = meter.fits(now, asked) else { continue };
            let Standing { limit, remaining, .. } = meter.standing(now);
            // Never is worse than any time.
            if worst.is_none_or(|worst| worst.wait.is_some_and(|known| wait.is_none_or(|wait| wait > known)))
            {
                worst = Some(Limited { dimension, wait, limit, used: limit - remaining, asked });
            }
        }
        if let Some(limited) = worst {
            return Err(limited);
        }
        for (meter, asked) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(meter) = meter {
                meter.take(now, asked);
            }
        }
        self.in_flight += 1;
        Ok(())
    }

    /// A call that was let in has ended.
    pub(crate) fn release(&mut self) {
        self.in_flight -= 1;
    }

    /// How calls and tokens stand.
    pub(crate) fn standings(&mut self, now: Duration) -> [Option<Standing>; 2] {
        let now = self.advance(now);
        [&mut self.requests, &mut self.tokens].map(|meter| meter.as_mut().map(|meter| meter.standing(now)))
    }

    /// Callers look at the clock before they are alone here, so an earlier time may come later.
    fn advance(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }
}
