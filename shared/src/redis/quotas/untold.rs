//! Ends of calls that Redis could not be told of: until it hears of them, their places stay taken for the whole
//! fleet.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::call::Op;

/// Ends that are kept of one upstream; of others the places end by themselves, and the estimates stand.
const MOST_KEPT: usize = 10_000;

/// Ends that one script call takes along: Redis serves nobody else meanwhile.
const MOST_AT_ONCE: usize = 256;

/// For so long nobody tries again just for them.
const AGAIN: Duration = Duration::from_secs(1);

/// What is kept of one upstream. Telling it twice changes nothing, nor does telling it when a call's time is over.
pub(super) struct Untold {
    ends: VecDeque<Op>,
    /// When they are told again, if nothing else goes to the upstream before.
    due: Instant,
}

impl Untold {
    /// Nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { ends: VecDeque::new(), due: now }
    }

    /// Keeps the ends of calls among the changes that did not reach Redis.
    pub(super) fn keep(&mut self, changes: Vec<Op>, now: Instant) {
        self.ends.extend(changes.into_iter().filter(Op::ends_call));
        let too_many = self.ends.len().saturating_sub(MOST_KEPT);
        self.ends.drain(..too_many);
        self.due = now + AGAIN;
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Those that go now; the next ones go as soon as these are heard.
    pub(super) fn take(&mut self) -> Vec<Op> {
        self.ends.drain(..self.ends.len().min(MOST_AT_ONCE)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::CallEnd;

    fn settle(id: u64) -> Op {
        Op::Settle { id, end: CallEnd::unknown(None) }
    }

    fn ids(ends: &[Op]) -> Vec<u64> {
        let id = |op: &Op| match op {
            Op::Settle { id, .. } | Op::GiveBack { id } => *id,
            other => panic!("no end of a call: {other:?}"),
        };
        ends.iter().map(id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_ends_are_kept_and_the_last_of_many() {
        let now = Instant::now();
        let mut untold = Untold::new(now);
        untold.keep(vec![Op::Report, Op::Pause { wait: 1, why: String::new() }], now);
        assert!(untold.is_empty());
        untold.keep(vec![settle(0), Op::GiveBack { id: 1 }], now);
        assert_eq!(ids(&untold.take()), [0, 1]);
        assert!(untold.is_empty());
        untold.keep((0..20_000).map(settle).collect(), now);
        assert_eq!(untold.due(), now + AGAIN);
        let mut told = Vec::new();
        while !untold.is_empty() {
            let ends = untold.take();
            assert!(ends.len() <= MOST_AT_ONCE);
            told.extend(ids(&ends));
        }
        assert_eq!(told, (10_000..20_000).collect::<Vec<_>>());
    }
}
