//! Sets aside what calls use, not what they might.
//!
//! How long an answer will be nobody knows, so its tokens are guessed on the large side; what is set aside
//! and not used is lost to others until the call has ended. Here the guess shrinks to the share of it that
//! calls to the same model have used lately. It never grows, and a call that uses more is booked in full
//! when it ends and delays later ones. So the limit is overrun at most by what the calls of one moment use
//! beyond the largest share of the last [`MEMORY`] calls, until the first of them has ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{Admission, Ask, CallEnd, Quotas, Reservation, SlotTime, Turn, UpstreamReport};

/// Calls that are remembered.
const MEMORY: usize = 256;
/// Fewer say nothing.
const ENOUGH: usize = 8;
/// Calls whose end is waited for.
const MOST_OPEN: usize = 10_000;

/// Quotas that set aside what is likely.
pub(crate) struct GuessedQuotas {
    quotas: Arc<dyn Quotas>,
    guesses: Mutex<Guesses>,
}

#[derive(Default)]
struct Guesses {
    /// By upstream and model.
    shares: BTreeMap<(String, String), Shares>,
    /// The model and the first guess of calls under way, by number and upstream.
    open: BTreeMap<(u64, String), (String, u64)>,
}

/// Which share of their guesses the last calls used.
#[derive(Default)]
struct Shares(VecDeque<f64>);

impl Shares {
    fn note(&mut self, share: f64) {
        self.0.truncate(MEMORY - 1);
        self.0.push_front(share);
    }

    /// The share that a next call hardly exceeds: the largest seen, and the more beyond it the fewer
    /// were seen.
    fn likely(&self) -> f64 {
        if self.0.len() < ENOUGH {
            return 1.0;
        }
        let largest = self.0.iter().copied().fold(0.0, f64::max);
        (largest * (1.0 + 1.0 / self.0.len() as f64)).min(1.0)
    }
}

impl GuessedQuotas {
    pub(crate) fn new(quotas: Arc<dyn Quotas>) -> Self {
        Self { quotas, guesses: Mutex::default() }
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, reservation: &Reservation) -> Option<(String, u64)> {
        if reservation.spend.output_tokens == 0 {
            return None;
        }
        self.guesses().open.remove(&(reservation.id, reservation.upstream.clone()))
    }
}

#[async_trait]
impl Quotas for GuessedQuotas {
    async fn admit(&self, mut ask: Ask) -> Result<Admission, PortError> {
        let guess = ask.spend.output_tokens;
        if guess == 0 {
            return self.quotas.admit(ask).await;
        }
        let (upstream, model) = (ask.upstream.clone(), ask.model.clone().unwrap_or_default());
        let likely = self.guesses().shares.get(&(upstream, model.clone())).map_or(1.0, Shares::likely);
        ask.spend.output_tokens = share_of(guess, likely).max(1);
        let admission = self.quotas.admit(ask).await?;
        if let Admission::Go { reservation, .. } = &admission {
            let mut guesses = self.guesses();
            guesses.open.insert((reservation.id, reservation.upstream.clone()), (model, guess));
            if guesses.open.len() > MOST_OPEN {
                guesses.open.pop_first();
            }
        }
        Ok(admission)
    }

    async fn turn(&self, reservation: &Reservation, slot: SlotTime) -> Turn {
        self.quotas.turn(reservation, slot).await
    }

    fn give_back(&self, reservation: Reservation) {
        self.close(&reservation);
        self.quotas.give_back(reservation);
    }

    async fn settle(&self, reservation: Reservation, end: CallEnd) -> Result<(), PortError> {
        if let Some((model, guess)) = self.close(&reservation)
            && let (Some(used), Some(_)) = (end.used, end.took)
        {
            let share = used.output_tokens as f64 / guess as f64;
            self.guesses().shares.entry((reservation.upstream.clone(), model)).or_default().note(share);
        }
        self.quotas.settle(reservation, end).await
    }

    async fn flush(&self) {
        self.quotas.flush().await;
    }

    async fn pause(&self, upstream: &str, wait: Duration, why: &str) -> Result<(), PortError> {
        self.quotas.pause(upstream, wait, why).await
    }

    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        self.quotas.report().await
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u64")]
fn share_of(guess: u64, share: f64) -> u64 {
    ((guess as f64 * share).ceil() as u64).min(guess)
}

#[cfg(test)]
mod tests;
