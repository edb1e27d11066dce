//! One call under way.

use std::sync::Arc;
use std::time::Duration;

use super::State;
use crate::ledger::Verdict;

/// Dropped, it leaves the limits; if nobody noted its end before, its caller has left.
pub(super) struct Call {
    state: Arc<State>,
    pub(super) seq: u64,
    at: Duration,
    admitted: bool,
    is_closed: bool,
}

impl Call {
    pub(super) fn new(state: Arc<State>, seq: u64, at: Duration, admitted: bool) -> Self {
        Self { state, seq, at, admitted, is_closed: false }
    }

    /// Notes what became of it. Its place among the calls at the same time stays taken until it is
    /// dropped.
    pub(super) fn close(&mut self, verdict: Verdict, status: Option<u16>) {
        self.is_closed = true;
        self.state.close(self.seq, self.at, verdict, status);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close(Verdict::Left, None);
        }
        if self.admitted {
            self.state.books().limiter.release();
        }
    }
}
