//! Whether a lease that is asked for will soon have company.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Deliveries come in handfuls, as the dispatcher hands them out. One that likely has others right behind
/// it waits so long for them. A job on an idle fleet is alone, and waits for nobody.
const SOON: Duration = Duration::from_millis(4);
/// Weight of the newest in the share of those that had company.
const NEWEST: f64 = 0.2;
/// From this share on it is worth the wait.
const LIKELY: f64 = 0.3;
/// More come so fast that a call under way gathers them.
const MANY: f64 = 2_000.0;

/// What was seen of the asks lately.
pub(super) struct Company(Mutex<Seen>);

struct Seen {
    last: Instant,
    /// Share of asks that came soon after the one before.
    share: f64,
    /// Mean time between two, in seconds.
    gap: f64,
}

impl Company {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Seen { last: Instant::now(), share: 0.0, gap: 1.0 }))
    }

    /// How long the one that asks now may wait for others.
    pub(super) fn patience(&self) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gap = now.duration_since(seen.last);
        let company = if gap < SOON { 1.0 } else { 0.0 };
        seen.share += NEWEST * (company - seen.share);
        seen.gap += NEWEST * (gap.as_secs_f64().min(1.0) - seen.gap);
        seen.last = now;
        if seen.share >= LIKELY && seen.gap > 1.0 / MANY { SOON } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Handfuls of so many, so far apart; how long the last of them would wait.
    async fn patience_of(handful: u32, apart: Duration) -> Duration {
        let company = Company::new();
        let mut last = Duration::ZERO;
        for _ in 0..300 {
            for _ in 0..handful {
                last = company.patience();
            }
            sleep(apart).await;
        }
        last
    }

    #[tokio::test(start_paused = true)]
    async fn only_handfuls_wait() {
        let (often, seldom) = (Duration::from_millis(6), Duration::from_millis(125));
        assert_eq!(patience_of(1, often).await, Duration::ZERO);
        assert_eq!(patience_of(1, seldom).await, Duration::ZERO);
        assert_eq!(patience_of(3, seldom).await, SOON);
        assert_eq!(patience_of(100, often).await, Duration::ZERO);
    }
}
