//! A fleet in virtual time, whose workers share one quota of tokens.

use std::sync::Arc;

use fastrand::Rng;
use fleetline_shared::domain::Verdict;
use fleetline_shared::embedded::MemoryQuotas;
use fleetline_shared::ports::{Limits, Rate};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;

pub(super) const WINDOW: Duration = Duration::from_mins(1);
pub(super) const INPUT: u64 = 600;
/// Of an answer's tokens.
pub(super) const GUESS: u64 = 1_000;
const WORKERS: usize = 4;
const HOLD: Duration = Duration::from_secs(1);
/// The dispatcher keeps so much given out ahead, and looks so often.
const LEAD: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Jobs handed out so lately may not have asked yet.
const ON_THE_WAY: Duration = Duration::from_millis(200);

/// What is known of a call that was made. Times are from the begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) admitted: Duration,
    pub(super) at: Duration,
    pub(super) ended: Duration,
    /// Tokens that were set aside, and that it used.
    pub(super) aside: u64,
    pub(super) used: u64,
}

/// A fleet that always has work.
pub(super) struct Fleet {
    /// Tokens in a window.
    pub(super) amount: u64,
    /// How long a call takes at least and at most, in milliseconds.
    pub(super) latency: std::ops::Range<u64>,
    /// Tokens of the next answer.
    pub(super) answer: Box<dyn FnMut(&mut Rng) -> u64>,
    pub(super) seed: u64,
}

impl Fleet {
    /// The calls of some windows, in order.
    pub(super) async fn calls(mut self, windows: u32) -> Vec<Made> {
        let limits =
            Limits { tokens: Some(Rate { amount: self.amount, window: WINDOW }), ..Limits::default() };
        let quotas: Arc<dyn Quotas> =
            Arc::new(MemoryQuotas::new(BTreeMap::from([("api".to_owned(), limits)])));
        let workers = [(); WORKERS].map(|()| Arc::new(GuessedQuotas::new(Arc::clone(&quotas))));
        let (began, mut rng) = (Instant::now(), Rng::with_seed(self.seed));
        let (mut jobs, mut made) = (JoinSet::new(), Vec::new());
        let mut lately = VecDeque::new();
        while began.elapsed() < WINDOW * windows {
            let next_in = quotas.report().await.unwrap()[0].next_in;
            lately.retain(|at: &Instant| at.elapsed() <= ON_THE_WAY);
            if lately.len() < self.room(next_in) {
                lately.push_back(Instant::now());
                let worker = Arc::clone(&workers[rng.usize(..WORKERS)]);
                let used = INPUT + (self.answer)(&mut rng);
                jobs.spawn(job(worker, used, Duration::from_millis(rng.u64(self.latency.clone())), began));
            } else {
                sleep(LOOK_EVERY).await;
            }
            while let Some(call) = jobs.try_join_next() {
                made.push(call.unwrap());
            }
        }
        made.sort_by_key(|call: &Made| call.at);
        made
    }

    fn room(&self, next_in: Duration) -> usize {
        let per_second = self.amount as f64 / WINDOW.as_secs_f64() / (INPUT + GUESS) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "jobs of less than a second"
        )]
        let room = (per_second * LEAD.saturating_sub(next_in).as_secs_f64()).ceil() as usize;
        room
    }
}

/// Asks until it may go, and goes.
async fn job(quotas: Arc<GuessedQuotas>, used: u64, took: Duration, began: Instant) -> Made {
    loop {
        let spend = Spend { input_tokens: INPUT, output_tokens: GUESS, money: 0 };
        match quotas.admit(ask("m", spend, HOLD)).await.unwrap() {
            Admission::Go { slot, reservation, .. } => {
                let (admitted, aside) = (began.elapsed(), reservation.spend.tokens());
                sleep(slot.wait()).await;
                let at = began.elapsed();
                sleep(took).await;
                let ended = began.elapsed();
                let spend = Spend { input_tokens: INPUT, output_tokens: used - INPUT, money: 0 };
                let end =
                    CallEnd { took: Some(took), verdict: Verdict::Healthy, ..CallEnd::unknown(Some(spend)) };
                quotas.settle(reservation, end).await.unwrap();
                return Made { admitted, at, ended, aside, used };
            }
            Admission::NotBefore { wait, .. } => sleep(wait).await,
        }
    }
}
