//! What those must hear who were given a slot and still wait for it.

use super::QuotaState;
use crate::ports::Lack;

/// A time in which nobody is to start a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaClosing {
    /// The call admitted last when it began.
    pub last_id: u64,
    /// When it ends, in microseconds.
    pub until: u64,
    /// What closed the upstream.
    pub lack: Lack,
}

impl QuotaState {
    /// Notes that nobody is to start before `until`.
    pub(super) fn tell(&mut self, until: u64, lack: Lack) {
        self.closing = Some(QuotaClosing { last_id: self.calls.last_id(), until, lack });
    }

    /// The latest closing that was not taken yet.
    pub fn take_closing(&mut self) -> Option<QuotaClosing> {
        self.closing.take()
    }
}
