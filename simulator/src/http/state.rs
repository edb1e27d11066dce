//! What all calls share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use super::call::Call;
use crate::clock::Clock;
use crate::faults::{FaultKind, Timeline};
use crate::ledger::{Entry, Ledger, Verdict, short};
use crate::limiter::{Limited, Limiter};
use crate::openai::{Asked, Refusal};
use crate::options::Options;

/// What all calls share.
pub(crate) struct State {
    pub(super) clock: Clock,
    pub(super) options: Options,
    pub(super) timeline: Timeline,
    books: Mutex<Books>,
}

/// The limits and the ledger: under one lock, so that the ledger's order is that of the limits.
pub(super) struct Books {
    pub(super) limiter: Limiter,
    pub(super) ledger: Ledger,
}

/// What is to become of a call.
pub(super) enum Fate {
    /// Lost before anybody looked at it.
    Lost(FaultKind),
    /// Not as it should be.
    Refused(Refusal),
    /// Over a limit.
    Limited(Limited),
    /// Let in, to be answered after this time, unless something goes wrong.
    Admitted { asked: Asked, latency: Duration, fault: Option<FaultKind> },
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        let clock = Clock::new();
        let books =
            Books { limiter: Limiter::new(options.limits), ledger: Ledger::new(options.ledger_limit) };
        let timeline = Timeline::new(clock, options.faults.clone());
        Self { clock, timeline, books: Mutex::new(books), options }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a call down and decides its fate.
    pub(super) fn receive(self: &Arc<Self>, entry: Entry, asked: Result<Asked, Refusal>) -> (Call, Fate) {
        let mut books = self.books();
        let at = self.clock.now();
        let at_us = u64::try_from(self.clock.since_epoch(at).as_micros()).unwrap_or(u64::MAX);
        let seq = books.ledger.open(Entry { at_us, ..entry });
        let mut rng = self.rng(seq);
        let fault = self.timeline.hit(at, &mut rng);
        let latency = self.options.latency.draw(&mut rng);
        let size = self.options.output_tokens.map(|tokens| tokens.draw(&mut rng));
        let why = fault.as_ref().map(|fault| fault.to_string().into_boxed_str());
        let fate = match (fault, asked) {
            (Some(fault), _) if fault.is_before_limits() => Fate::Lost(fault),
            (_, Err(refusal)) => Fate::Refused(refusal),
            (fault, Ok(mut asked)) => {
                asked.resize(size);
                match books.limiter.admit(at, asked.tokens()) {
                    Err(limited) => Fate::Limited(limited),
                    Ok(()) => Fate::Admitted { asked, latency, fault },
                }
            }
        };
        let admitted = matches!(fate, Fate::Admitted { .. });
        books.ledger.amend(seq, |entry| {
            entry.charged = admitted;
            match &fate {
                Fate::Admitted { asked, .. } => {
                    entry.output_tokens = asked.output_tokens();
                    entry.why = why;
                }
                Fate::Limited(limited) => entry.why = Some(limited.dimension.as_str().into()),
                Fate::Lost(_) => entry.why = why,
                Fate::Refused(refusal) => entry.why = Some(short(&refusal.message)),
            }
        });
        drop(books);
        (Call::new(Arc::clone(self), seq, at, admitted), fate)
    }

    /// Notes what became of a call.
    pub(super) fn close(&self, seq: u64, at: Duration, verdict: Verdict, status: Option<u16>) {
        let latency = self.clock.now().saturating_sub(at);
        self.books().ledger.close(seq, verdict, status, latency);
    }

    /// The same for the same call of the same seed.
    pub(super) fn rng(&self, seq: u64) -> Rng {
        // Seeds that differ in one bit must not begin alike: a large odd factor spreads them.
        Rng::with_seed(self.options.seed.wrapping_add(seq).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}
