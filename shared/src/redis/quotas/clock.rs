//! The server's clock, as well as it can be known here.

use std::time::Duration;

use tokio::time::Instant;

use crate::rules::micros;

/// After this time what is known of the clock is forgotten: clocks drift.
const FRESH: Duration = Duration::from_secs(10);

/// The server's time at an instant of ours. Answers are on their way for a while, at times for long; the
/// one that came fastest tells best.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerClock(Option<(u64, Instant)>);

impl ServerClock {
    /// Hears the time from an answer that has just come. It was asked for at `asked`, so the time is not
    /// older than that.
    pub(super) fn hear(&mut self, time: u64, asked: Instant) {
        let now = Instant::now();
        let expected = self.at(now);
        let is_old = self.0.is_none_or(|(_, at)| at + FRESH < now);
        if is_old || time >= expected || expected > time + micros(now - asked) {
            self.0 = Some((time, now));
        }
    }

    /// The server's time at an instant; 0 if nothing was heard of it.
    pub(super) fn at(self, instant: Instant) -> u64 {
        self.0.map_or(0, |(time, at)| time + micros(instant.saturating_duration_since(at)))
    }

    /// When the server's clock shows a time: now, if it has done so before anything was heard.
    pub(super) fn instant(self, time: u64) -> Instant {
        let since = |(heard, at): (u64, Instant)| match time.checked_sub(heard) {
            Some(later) => at + Duration::from_micros(later),
            None => at.checked_sub(Duration::from_micros(heard - time)).unwrap_or(at),
        };
        self.0.map_or_else(Instant::now, since)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fastest_answer_tells_best() {
        let (mut clock, ms) = (ServerClock::default(), Duration::from_millis);
        let began = Instant::now();
        clock.hear(1_000_000, began);
        advance(ms(500)).await;
        // On its way for 300 ms of at most 400.
        clock.hear(1_200_000, began + ms(100));
        assert_eq!(clock.at(Instant::now()), 1_500_000);
        assert_eq!(clock.instant(1_700_000), began + ms(700));
        assert_eq!(clock.instant(900_000), began - ms(100));
        // It is earlier than any delay explains: the clock was set.
        clock.hear(1_050_000, began + ms(100));
        assert_eq!(clock.at(Instant::now()), 1_050_000);
    }
}
