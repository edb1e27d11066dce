//! Time since the start, and on the calendar.

use std::time::{Duration, Instant, SystemTime};

/// Never goes back, whatever happens to the machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    calendar: Duration,
}

impl Clock {
    /// Starts now.
    pub(crate) fn new() -> Self {
        let calendar = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), calendar }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The same as time since 1970.
    pub(crate) fn since_epoch(&self, at: Duration) -> Duration {
        self.calendar + at
    }

    /// When that will be, for timers.
    pub(crate) fn instant(&self, at: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + at)
    }
}
