//! Calls of this process for which it keeps their places: one whose process dies is soon free for others.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::call::Op;

/// Calls that one script call takes along: Redis serves nobody else meanwhile.
const MOST_AT_ONCE: usize = 1_000;

/// After Redis did not hear it, for so long nobody says it again just for that.
const AGAIN: Duration = Duration::from_secs(1);

/// Those of one upstream.
pub(super) struct Running {
    /// How old a place becomes that is not renewed.
    life: Duration,
    calls: BTreeMap<u64, Call>,
    /// No place needs to be renewed before.
    due: Instant,
    /// Nothing is tried before without company.
    again: Instant,
}

struct Call {
    /// When its place was young: Redis was asked for it, or to renew it.
    since: Instant,
    /// When the place ends in any case.
    until: Instant,
}

impl Running {
    /// None, with places that live so long.
    pub(super) fn new(life: Duration, now: Instant) -> Self {
        Self { life, calls: BTreeMap::new(), due: now, again: now }
    }

    /// Places are renewed before they are so old, so that two more tries in vain are no loss.
    fn age(&self) -> Duration {
        self.life / 4
    }

    /// A call has a place since then, until then at most.
    pub(super) fn begin(&mut self, id: u64, since: Instant, until: Instant) {
        if until <= since + self.life {
            return;
        }
        if self.calls.is_empty() {
            self.due = since + self.age();
        }
        self.calls.insert(id, Call { since, until });
    }

    pub(super) fn end(&mut self, id: u64) {
        self.calls.remove(&id);
    }

    /// When something is to be done here.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.calls.is_empty()).then(|| self.due.max(self.again))
    }

    /// What Redis is told now, perhaps with others: nothing before a call's place is old. Then those that are half as
    /// old go along, so that soon all go together; the rest are mostly short calls, which cost nothing.
    pub(super) fn take(&mut self, now: Instant, in_company: bool) -> Option<Op> {
        if self.calls.is_empty() || now < self.due || now < self.again && !in_company {
            return None;
        }
        self.calls.retain(|_, call| call.until > now);
        self.look();
        if now < self.due {
            return None;
        }
        let half = self.age() / 2;
        let old = self.calls.iter().filter(|(_, call)| call.since + half <= now);
        let ids: Vec<_> = old.map(|(id, _)| *id).take(MOST_AT_ONCE).collect();
        self.again = now + AGAIN;
        (!ids.is_empty()).then_some(Op::Renew { ids })
    }

    /// Redis heard of these, and was asked then.
    pub(super) fn renewed(&mut self, ids: &[u64], asked: Instant) {
        for id in ids {
            if let Some(call) = self.calls.get_mut(id) {
                call.since = asked;
            }
        }
        self.again = asked;
        self.look();
    }

    fn look(&mut self) {
        let oldest = self.calls.values().map(|call| call.since).min();
        self.due = oldest.map_or(self.due, |since| since + self.age());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LIFE: Duration = Duration::from_secs(16);
    const SECOND: Duration = Duration::from_secs(1);

    fn ids(op: Option<Op>) -> Vec<u64> {
        match op {
            None => Vec::new(),
            Some(Op::Renew { ids }) => ids,
            Some(other) => panic!("no renewal: {other:?}"),
        }
    }

    /// Every call's place is renewed before a quarter of its life, at most once in an eighth of it.
    #[tokio::test(start_paused = true)]
    async fn places_are_renewed_together_and_those_of_short_calls_not_at_all() {
        let mut running = Running::new(LIFE, Instant::now());
        let (mut told, mut seen) = (Vec::new(), BTreeMap::new());
        for second in 0..60 {
            let now = Instant::now();
            // Every second one begins: those that last, but for each third one, which ends after a second.
            running.begin(second, now, now + 40 * SECOND);
            seen.insert(second, now);
            if second % 3 == 1 {
                running.end(second - 1);
                seen.remove(&(second - 1));
            }
            if running.due().is_some_and(|due| due <= now) {
                let renewed = ids(running.take(now, false));
                assert!(renewed.iter().all(|id| seen.insert(*id, now).is_some()), "{renewed:?}");
                running.renewed(&renewed, now);
                told.push(renewed);
            }
            seen.retain(|id, _| id + 40 > second);
            assert!(seen.values().all(|since| now - *since <= LIFE / 4), "{seen:?}");
            advance(SECOND).await;
        }
        assert!((10..=30).contains(&told.len()), "{told:?}");
        assert!(told.iter().flatten().all(|id| id % 3 != 0), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_redis_did_not_hear_is_told_again_with_whatever_goes() {
        let now = Instant::now();
        let mut running = Running::new(LIFE, now);
        running.begin(1, now, now + SECOND);
        assert_eq!(running.due(), None, "its place ends by itself before it is old");
        running.begin(1, now, now + 60 * SECOND);
        assert!(running.take(now, true).is_none(), "its place is young");
        advance(LIFE / 4).await;
        let now = Instant::now();
        assert_eq!(running.due(), Some(now));
        assert_eq!(ids(running.take(now, false)), [1]);
        assert!(running.take(now, false).is_none());
        assert_eq!(running.due(), Some(now + AGAIN));
        assert_eq!(ids(running.take(now, true)), [1]);
        running.renewed(&[1], now);
        assert_eq!(running.due(), Some(now + LIFE / 4));
        running.end(1);
        assert_eq!(running.due(), None);
    }
}
