//! The server's clock, as well as it can be known here.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::SlotTime;
use crate::rules::{LEAST_LATENESS, micros};

/// After this time what is known of the clock is forgotten: clocks drift, and ways get longer.
const FRESH: Duration = Duration::from_secs(10);

/// The server's time at an instant of ours. Answers are on their way for a while, at times for long: each
/// bounds it from both sides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerClock(Option<Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    /// What it showed then at least: what it says was on its way here.
    least: u64,
    /// So much more it may have shown.
    doubt: u64,
}

impl Known {
    /// What holds if both do; `None` if they contradict each other.
    fn and(self, later: Self) -> Option<Self> {
        let shift = micros(later.at - self.at);
        let least = self.least.max(later.least.saturating_sub(shift));
        let most = (self.least + self.doubt).min((later.least + later.doubt).saturating_sub(shift));
        Some(Self { least, doubt: most.checked_sub(least)?, ..self })
    }
}

impl ServerClock {
    /// Hears the time from an answer that has just come. It was asked for at `asked`, so the time is not
    /// older than that.
    pub(super) fn hear(&mut self, time: u64, asked: Instant) {
        let now = Instant::now();
        let heard = Known { at: now, least: time, doubt: micros(now - asked) };
        let known = self.0.filter(|known| known.at + FRESH >= now);
        // They contradict each other if the clock was set.
        self.0 = known.and_then(|known| known.and(heard)).or(Some(heard));
    }

    /// The server's time at an instant, at least; 0 if nothing was heard of it.
    pub(super) fn at(self, instant: Instant) -> u64 {
        self.0.map_or(0, |known| known.least + micros(instant.saturating_duration_since(known.at)))
    }

    /// A slot at a time of the server's, in which a call may start so much later. That is less while the
    /// clock is not well known, as by the first answer to a busy process; but a way that is always
    /// long is no reason never to call.
    pub(super) fn slot(self, time: u64, lateness: Option<Duration>) -> SlotTime {
        let Some(known) = self.0 else { return SlotTime { begins: Instant::now(), ends: None } };
        let begins = match time.checked_sub(known.least) {
            Some(later) => known.at + Duration::from_micros(later),
            None => known.at.checked_sub(Duration::from_micros(known.least - time)).unwrap_or(known.at),
        };
        let doubt = Duration::from_micros(known.doubt);
        let ends = |lateness: Duration| begins + lateness.saturating_sub(doubt).max(LEAST_LATENESS);
        SlotTime { begins, ends: lateness.map(ends) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_fastest_answer_tells_best() {
        let mut clock = ServerClock::default();
        let began = Instant::now();
        clock.hear(1_000_000, began);
        advance(500 * MS).await;
        // On its way for 300 ms of at most 400.
        clock.hear(1_200_000, began + 100 * MS);
        assert_eq!(clock.at(Instant::now()), 1_500_000);
        assert_eq!(clock.slot(1_700_000, None).begins, began + 700 * MS);
        assert_eq!(clock.slot(900_000, None).begins, began - 100 * MS);
        // It is earlier than any delay explains: the clock was set.
        clock.hear(1_050_000, began + 100 * MS);
        assert_eq!(clock.at(Instant::now()), 1_050_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_in_doubt_leaves_less_time_to_call() {
        let mut clock = ServerClock::default();
        let length = |clock: ServerClock| {
            let slot = clock.slot(2_000_000, Some(240 * MS));
            slot.ends.unwrap() - slot.begins
        };
        let began = Instant::now();
        advance(200 * MS).await;
        clock.hear(1_000_000, began);
        assert_eq!(length(clock), 40 * MS, "it may show 1.2 s by now");
        // The next answer is faster, and says that the one before was 150 ms on its way here.
        let asked = Instant::now();
        advance(30 * MS).await;
        clock.hear(1_180_000, asked);
        assert_eq!(clock.at(Instant::now()), 1_180_000);
        assert_eq!(length(clock), 210 * MS);
        advance(FRESH + MS).await;
        clock.hear(20_000_000, Instant::now() - 900 * MS);
        assert_eq!(length(clock), LEAST_LATENESS, "whoever is far from the server may call, too");
    }
}
