//! What a 429 does: a pause of the whole upstream, and a slower pace that recovers by itself.

use super::micros;
use std::time::Duration;

/// Pause after a 429 that does not say for how long.
const PAUSE: Duration = Duration::from_secs(5);
/// A longer word is taken for this: after it, one look costs one call.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// All of the rate, in thousandths.
const ALL: u64 = 1_000;
/// What is left of the rate after a 429, in tenths.
const SHRUNK: u64 = 7;
/// The rate is never lower, in thousandths.
const LEAST: u64 = 50;
/// So much of the whole rate comes back in a window, in thousandths: what one 429 takes is back
/// after three windows, and all after ten.
const GAIN: u64 = 100;
/// The window of recovery, in microseconds: the shortest of the limits', within these.
const WINDOWS: (u64, u64) = (1_000_000, 60_000_000);

/// For how long a 429 pauses its upstream.
pub fn pause_after(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE)
}

/// Share of the rates that is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throttle {
    /// The share when it was last lowered.
    share: u64,
    /// Since when it grows again.
    since: u64,
    /// In a window it gains [`GAIN`].
    window: u64,
    /// The call admitted last when the upstream was paused: those after it are news.
    paused_at: u64,
}

impl Throttle {
    pub(super) fn new(shortest_window: Option<u64>) -> Self {
        let mut throttle = Self { share: ALL, since: 0, window: WINDOWS.1, paused_at: 0 };
        throttle.set_window(shortest_window);
        throttle
    }

    /// Other limits were found.
    pub(super) fn set_window(&mut self, shortest_window: Option<u64>) {
        self.window = shortest_window.unwrap_or(WINDOWS.1).clamp(WINDOWS.0, WINDOWS.1);
    }

    /// The share at a time, in thousandths.
    pub(super) fn share(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since).min(self.window * ALL / GAIN);
        (self.share + passed * GAIN / self.window).min(ALL)
    }

    /// Call `id` says 429; `last_id` was admitted last. Until when the upstream is paused, unless a
    /// pause that began after the call was admitted has answered it already.
    pub(super) fn limited(
        &mut self,
        id: u64,
        last_id: u64,
        retry_after: Option<Duration>,
        now: u64,
    ) -> Option<u64> {
        if id <= self.paused_at {
            return None;
        }
        let until = now.saturating_add(micros(pause_after(retry_after)));
        let share = (self.share(now) * SHRUNK / 10).max(LEAST);
        *self = Self { share, since: until, paused_at: last_id, ..*self };
        Some(until)
    }
}
