//! Who waits for an upstream in this process: by priority, and then in the order of asking.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::granted::Granted;
use crate::domain::PortError;
use crate::ports::{Admission, Ask, Lack};
use crate::rules::why;

/// When to ask again after the hold has passed without a free place. Nobody knows when a call
/// under way ends.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// How soon a place that another process freed is seen. A place that this process frees is seen
/// at once.
const FULL_LOOK: Duration = Duration::from_millis(50);

/// Asks in one script call at most.
const MOST_ASKS: usize = 256;

/// Asks that try for a place when nobody knows how many are free.
const SOME_ASKS: usize = 16;

/// An ask that waits for its answer.
pub(super) struct Asked {
    pub(super) ask: Ask,
    /// When its hold ends.
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Granted, PortError>>,
}

impl Asked {
    /// No place is free, nor will be within its hold.
    fn refuse_full(self, free_in: Duration) {
        let wait = free_in.min(FULL_RETRY);
        let refused = Admission::NotBefore { wait, lack: Lack::Concurrency, why: why(Lack::Concurrency, "") };
        let _ = self.answer.send(Ok(Granted::refused(refused)));
    }
}

/// The asks for one upstream.
#[derive(Default)]
pub(super) struct Lane {
    waiting: VecDeque<Asked>,
    /// All places are taken; when to look again.
    full_until: Option<Instant>,
}

impl Lane {
    /// Puts an ask behind those of its priority; one that cannot wait does not queue for a place.
    pub(super) fn push(&mut self, asked: Asked) {
        if self.full_until.is_some() {
            self.forget_gone();
        }
        if self.full_until.is_some() && asked.ask.hold.is_zero() {
            return asked.refuse_full(FULL_RETRY);
        }
        // Priority is for those who are here together; what was given out stays given out.
        let behind = self.waiting.partition_point(|other| other.ask.priority >= asked.ask.priority);
        self.waiting.insert(behind, asked);
    }

    /// How many there are.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Callers that gave up are not waited for.
    fn forget_gone(&mut self) {
        self.waiting.retain(|asked| !asked.answer.is_closed());
        if self.waiting.is_empty() {
            self.full_until = None;
        }
    }

    /// The asks that go now. `freed`: places that this very call frees first.
    pub(super) fn take(&mut self, now: Instant, freed: usize) -> Vec<Asked> {
        self.forget_gone();
        let many = match self.full_until {
            None => MOST_ASKS,
            Some(until) if freed > 0 || until <= now => freed.max(SOME_ASKS),
            Some(_) => 0,
        };
        self.waiting.drain(..many.min(self.waiting.len())).collect()
    }

    /// Takes those back that found all places taken; `free_in` is when one gets free by itself.
    pub(super) fn put_back(&mut self, full: Vec<Asked>, free_in: Duration, now: Instant) {
        self.full_until = (!full.is_empty()).then(|| now + free_in.min(FULL_LOOK));
        for asked in full.into_iter().rev() {
            if asked.deadline <= now {
                asked.refuse_full(free_in);
            } else {
                // Ahead of its equals, who came later, but of nobody who is more important.
                let before = |other: &Asked| other.ask.priority > asked.ask.priority;
                let place = self.waiting.partition_point(before);
                self.waiting.insert(place, asked);
            }
        }
        self.refuse_late(now);
    }

    /// Answers those whose hold has passed while all places were taken.
    pub(super) fn refuse_late(&mut self, now: Instant) {
        if self.full_until.is_none() {
            return;
        }
        let (late, waiting): (VecDeque<_>, _) =
            self.waiting.drain(..).partition(|asked| asked.deadline <= now);
        self.waiting = waiting;
        for asked in late {
            asked.refuse_full(FULL_RETRY);
        }
    }

    /// When something is to be done here without a message.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let first_deadline = self.waiting.iter().map(|asked| asked.deadline).min()?;
        Some(self.full_until.map_or(now, |until| until.min(first_deadline)))
    }

    /// Answers all with an error.
    pub(super) fn fail(&mut self, error: &PortError) {
        for asked in self.waiting.drain(..) {
            let _ = asked.answer.send(Err(error.clone()));
        }
        self.full_until = None;
    }
}
