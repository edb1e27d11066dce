//! Who sleeps for a slot hears here that the upstream has closed meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::ports::{Lack, Reservation, SlotTime, Turn};
use crate::rules::why;

/// A time in which nobody is to start a call.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    /// The reservation made last when it began: those after it know of it.
    pub(crate) last_id: u64,
    /// When it ends.
    pub(crate) until: Instant,
    /// A pause or the breaker.
    pub(crate) lack: Lack,
    /// The same for people, beside `lack`.
    pub(crate) note: String,
}

impl Closing {
    fn turn(&self) -> Turn {
        let wait = self.until.saturating_duration_since(Instant::now());
        Turn::Closed { wait, lack: self.lack, why: why(self.lack, &self.note) }
    }
}

/// The latest closing of each upstream.
#[derive(Default)]
pub(crate) struct Closings(Mutex<BTreeMap<String, watch::Sender<Option<Closing>>>>);

impl Closings {
    fn of(&self, upstream: &str) -> watch::Sender<Option<Closing>> {
        let mut by_name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = by_name.get(upstream) {
            return news.clone();
        }
        by_name.entry(upstream.to_owned()).or_default().clone()
    }

    /// Wakes those who sleep for a slot. Of two closings the one that lasts longer counts. People hear
    /// of a breaker that opens: jobs wait then, and nothing else tells why.
    pub(crate) fn tell(&self, upstream: &str, closing: Closing) {
        if closing.lack == Lack::Breaker {
            let seconds = closing.until.saturating_duration_since(Instant::now()).as_secs();
            tracing::warn!(
                upstream,
                seconds,
                "calls failed one after the other: none is made for so long, then one tries again"
            );
        }
        self.of(upstream).send_modify(|known| {
            let longer = known.take().filter(|known| known.until > closing.until);
            let last_id = closing.last_id;
            *known = Some(Closing { last_id, ..longer.unwrap_or(closing) });
        });
    }

    /// See [`Quotas::turn`](crate::ports::Quotas::turn).
    pub(crate) async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        let news = self.of(&reservation.upstream);
        let is_told_of =
            |closing: &Closing| closing.last_id >= reservation.id && closing.until > Instant::now();
        if slot.begins > Instant::now() {
            let mut later = news.subscribe();
            tokio::select! {
                biased;
                Ok(told) = later.wait_for(|closing| closing.as_ref().is_some_and(is_told_of)) => {
                    if let Some(closing) = &*told {
                        return closing.turn();
                    }
                }
                () = sleep_until(slot.begins) => {}
            }
        }
        match &*news.borrow() {
            Some(closing) if is_told_of(closing) => closing.turn(),
            _ if slot.is_missed() => Turn::Missed,
            _ => Turn::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::domain::Spend;

    const MS: Duration = Duration::from_millis(1);

    fn reservation(id: u64) -> Reservation {
        Reservation { id, upstream: "api".into(), spend: Spend::default() }
    }

    fn pause(last_id: u64, wait: Duration) -> Closing {
        Closing { last_id, until: Instant::now() + wait, lack: Lack::Pause, note: "429".into() }
    }

    fn slot(ahead: Duration, length: Option<Duration>) -> SlotTime {
        let begins = Instant::now() + ahead;
        SlotTime { begins, ends: length.map(|length| begins + length) }
    }

    #[tokio::test(start_paused = true)]
    async fn who_wakes_too_late_missed_its_slot() {
        for (woken, expected) in [(130, Turn::Now), (180, Turn::Missed)] {
            let closings = Closings::default();
            let reservation = reservation(1);
            let turn = closings.turn(&reservation, slot(100 * MS, Some(50 * MS)));
            let busy = async { advance(woken * MS).await };
            assert_eq!(tokio::join!(biased; turn, busy).0, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_is_for_those_before_it() {
        let closings = Closings::default();
        closings.tell("api", pause(7, 900 * MS));
        closings.tell("api", pause(8, 300 * MS));
        closings.tell("other", pause(100, 900 * MS));
        let Turn::Closed { wait, why, .. } = closings.turn(&reservation(8), slot(50 * MS, None)).await else {
            panic!("it was given before");
        };
        assert_eq!((wait, why.as_str()), (900 * MS, "paused: 429"), "the longer one counts");
        assert_eq!(closings.turn(&reservation(9), slot(50 * MS, None)).await, Turn::Now);
        advance(900 * MS).await;
        assert_eq!(closings.turn(&reservation(8), slot(50 * MS, None)).await, Turn::Now);
    }
}
