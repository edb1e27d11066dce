//! When the sweeper sweeps, on virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_producer::sweeper::{self, SETTLING, SweepOptions};
use fleetline_shared::domain::{Envelope, JobId, PortError};
use fleetline_shared::ports::{DispatchAsk, DispatchLedger, News, OfferLedger, Scope, Swept};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
const LEFT_AFTER: Duration = Duration::from_mins(3);

/// A ledger in which nothing is ever lost. It can be out of reach, and tells when it was swept.
struct Fickle {
    away: AtomicBool,
    /// How often left runs were looked for.
    ended: AtomicU64,
    swept: mpsc::UnboundedSender<Instant>,
}

impl Fickle {
    fn answer<T>(&self, answer: T) -> Result<T, PortError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(PortError::Unavailable { port: "ledger", message: "it is away".into() });
        }
        Ok(answer)
    }
}

impl OfferLedger for Fickle {}

#[async_trait]
impl DispatchLedger for Fickle {
    async fn dispatch(&self, _: DispatchAsk) -> Result<Vec<Envelope>, PortError> {
        unreachable!("a sweeper hands nothing out")
    }

    async fn handed_out(&self, _: Scope, _: &str) -> Result<Vec<JobId>, PortError> {
        unreachable!("a sweeper hands nothing out")
    }

    async fn messages(&self, _: &str, _: Vec<JobId>) -> Result<Vec<Envelope>, PortError> {
        unreachable!("a sweeper hands nothing out")
    }

    async fn next_due(&self, _: Scope) -> Result<Option<Duration>, PortError> {
        self.answer(None)
    }

    async fn sweep(&self, _: Scope, _: Duration, _: u16) -> Result<Swept, PortError> {
        let swept = self.answer(Swept::default());
        if swept.is_ok() {
            let _ = self.swept.send(Instant::now());
        }
        swept
    }

    async fn end_left(&self, silent_for: Duration) -> Result<u64, PortError> {
        assert_eq!(silent_for, LEFT_AFTER);
        let ended = self.answer(0);
        self.ended.fetch_add(u64::from(ended.is_ok()), Ordering::SeqCst);
        ended
    }

    fn changes(&self) -> watch::Receiver<News> {
        unreachable!("a sweeper goes by the clock")
    }
}

struct Bench {
    ledger: Arc<Fickle>,
    swept: mpsc::UnboundedReceiver<Instant>,
    drain: CancellationToken,
    sweeper: JoinHandle<()>,
}

impl Bench {
    fn start(stale_after: Duration) -> Self {
        let (tell, swept) = mpsc::unbounded_channel();
        let ledger = Arc::new(Fickle { away: AtomicBool::new(false), ended: AtomicU64::new(0), swept: tell });
        let drain = CancellationToken::new();
        let options = SweepOptions { every: EVERY, stale_after, max_losses: 3, left_after: Some(LEFT_AFTER) };
        let sweeper = tokio::spawn(sweeper::run(ledger.clone(), options, drain.clone()));
        Self { ledger, swept, drain, sweeper }
    }

    /// Time until the next sweep.
    async fn next(&mut self) -> Duration {
        let now = Instant::now();
        self.swept.recv().await.expect("it sweeps on") - now
    }

    async fn away_for(&mut self, time: Duration) {
        self.ledger.away.store(true, Ordering::SeqCst);
        sleep(time).await;
        self.ledger.away.store(false, Ordering::SeqCst);
        assert!(self.swept.try_recv().is_err(), "nothing was swept meanwhile");
    }
}

/// What waited for the ledger comes first; what comes after that is lost.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_before_the_ledger_has_answered_for_a_while() {
    let mut bench = Bench::start(Duration::from_mins(5));
    assert_eq!(bench.next().await, EVERY + SETTLING, "at the start");
    assert_eq!(bench.ledger.ended.load(Ordering::SeqCst), 1, "left runs are looked for with it");
    assert_eq!(bench.next().await, EVERY, "then as often as it is told to");

    for outage in [2 * EVERY, Duration::from_hours(1)] {
        bench.away_for(outage).await;
        let until = bench.next().await;
        assert!((SETTLING..=SETTLING + 2 * EVERY).contains(&until), "{until:?} after {outage:?}");
    }
    bench.drain.cancel();
    bench.sweeper.await.expect("it ends without a panic");
}

/// A ledger that comes and goes is not back.
#[tokio::test(start_paused = true)]
async fn a_second_outage_begins_the_wait_anew() {
    let mut bench = Bench::start(Duration::from_mins(5));
    bench.next().await;
    for _ in 0..10 {
        bench.away_for(2 * EVERY).await;
        sleep(SETTLING / 2).await;
    }
    bench.away_for(2 * EVERY).await;
    assert!(bench.next().await >= SETTLING);
}

/// Where a job counts as lost sooner than that, so does the ledger's return.
#[tokio::test(start_paused = true)]
async fn the_wait_is_no_longer_than_the_age_of_what_is_lost() {
    let mut bench = Bench::start(3 * EVERY);
    assert_eq!(bench.next().await, 4 * EVERY);
}
