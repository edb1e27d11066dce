//! Who sleeps for a slot hears here that the upstream has closed meanwhile.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::ports::{Lack, Reservation, Turn};
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

    /// Wakes those who sleep for a slot. Of two closings the one that lasts longer counts.
    pub(crate) fn tell(&self, upstream: &str, closing: Closing) {
        self.of(upstream).send_modify(|known| {
            let longer = known.take().filter(|known| known.until > closing.until);
            let last_id = closing.last_id;
            *known = Some(Closing { last_id, ..longer.unwrap_or(closing) });
        });
    }

    /// See [`Quotas::turn`](crate::ports::Quotas::turn). `lateness`: so much later a call may start.
    pub(crate) async fn turn(
        &self,
        reservation: &Reservation,
        after: Duration,
        lateness: Option<Duration>,
    ) -> Turn {
        let slot = Instant::now() + after;
        let mut news = self.of(&reservation.upstream).subscribe();
        let is_told = |closing: &Option<Closing>| {
            let told =
                |closing: &Closing| closing.last_id >= reservation.id && closing.until > Instant::now();
            closing.as_ref().is_some_and(told)
        };
        let told = async {
            let closing = news.wait_for(is_told).await.ok()?.clone()?;
            let wait = closing.until.saturating_duration_since(Instant::now());
            Some(Turn::Closed { wait, lack: closing.lack, why: why(closing.lack, &closing.note) })
        };
        tokio::select! {
            biased;
            Some(closed) = told => closed,
            () = sleep_until(slot), if !after.is_zero() => {
                if lateness.is_some_and(|lateness| slot.elapsed() > lateness) { Turn::Missed } else { Turn::Now }
            }
            () = ready(()), if after.is_zero() => Turn::Now,
        }
    }
}
