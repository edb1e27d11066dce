//! What holds over windows of time, with many callers at once.

use std::sync::Mutex;

use fleetline_shared::ports::Limits;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::time::sleep;

use super::{Admission, Arc, Bench, Duration, Instant, QuotasFixture, WINDOW, requests, tokens, window_rate};

/// A call that was made. Its slot lies between two times, since the answer took a while; that a
/// busy machine wakes a caller later than asked is not the quotas' doing.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    earliest: Instant,
    latest: Instant,
    tokens: u64,
}

/// What callers do: tokens guessed, percent of them used (none: it dies without settling), and
/// the duration in hundredths of a unit.
type Call = (u64, Option<u64>, u32);

/// Callers that want to call all the time, until `end`; then they stop as if killed.
struct Demand {
    bench: Bench,
    calls: Mutex<std::iter::Cycle<std::vec::IntoIter<Call>>>,
    arrivals: Mutex<Vec<Arrival>>,
    end: Instant,
}

impl Demand {
    async fn run(bench: Bench, calls: Vec<Call>, callers: usize, end: Instant) -> Vec<Arrival> {
        let calls = Mutex::new(calls.into_iter().cycle());
        let demand = Arc::new(Self { bench, calls, arrivals: Mutex::default(), end });
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let demand = Arc::clone(&demand);
                tokio::spawn(async move { tokio::time::timeout_at(demand.end, demand.call_on()).await })
            })
            .collect();
        for caller in callers {
            assert!(caller.await.unwrap().is_err(), "callers never stop by themselves");
        }
        let mut arrivals = std::mem::take(&mut *demand.arrivals.lock().unwrap());
        arrivals.sort_by_key(|arrival| arrival.latest);
        arrivals
    }

    async fn call_on(&self) {
        loop {
            let (guess, used, duration) = self.calls.lock().unwrap().next().unwrap();
            let (earliest, latest, reservation) = loop {
                let asked = Instant::now();
                match self.bench.admit(guess, 1).await {
                    Admission::Go { slot, reservation, .. } => {
                        let after = slot.wait();
                        let latest = Instant::now() + after;
                        sleep(after).await;
                        break (asked + after, latest, reservation);
                    }
                    Admission::NotBefore { wait, .. } => sleep(wait).await,
                }
            };
            let used = used.map(|percent| guess * percent / 100);
            let tokens = used.unwrap_or(guess);
            self.arrivals.lock().unwrap().push(Arrival { earliest, latest, tokens });
            sleep(self.bench.pace.unit * duration / 100).await;
            if used.is_some() {
                self.bench.settle(reservation, used).await;
            }
        }
    }
}

/// Asserts that no window that ends with an arrival holds more than the limits.
fn assert_within(arrivals: &[Arrival], limits: &Limits, jitter: Duration) {
    for last in arrivals {
        let used = |window: Duration| {
            let inside = |arrival: &&Arrival| {
                arrival.latest <= last.latest && arrival.earliest + window >= last.latest + jitter
            };
            let inside: Vec<_> = arrivals.iter().filter(inside).collect();
            (inside.len() as u64, inside.iter().map(|arrival| arrival.tokens).sum::<u64>())
        };
        if let Some(rate) = limits.requests {
            let (calls, _) = used(rate.window);
            assert!(calls <= rate.amount, "{calls} calls in a window, {} allowed", rate.amount);
        }
        if let Some(rate) = limits.tokens {
            let (_, tokens) = used(rate.window);
            assert!(tokens <= rate.amount, "{tokens} tokens in a window, {} allowed", rate.amount);
        }
    }
}

fn random_calls(guess: std::ops::Range<u64>, settled: impl Strategy<Value = Option<u64>>) -> Vec<Call> {
    let calls = prop::collection::vec((guess, settled, 1..300u32), 100);
    calls.new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// Calls of random size, used to a random share, some of which die: no window is over.
pub async fn no_window_is_over_the_limit(fixture: &dyn QuotasFixture) {
    let used = prop_oneof![4 => (0..=100u64).prop_map(Some), 1 => Just(None)];
    let limits = Limits { requests: Some(window_rate(fixture.pace(), 40)), ..tokens(fixture, 4_000) };
    let bench = Bench::new(fixture, limits.clone()).await;
    let end = Instant::now() + bench.pace.unit * WINDOW * 4;
    let arrivals = Demand::run(bench, random_calls(0..400, used), 20, end).await;
    assert!(arrivals.len() > 40, "{} calls", arrivals.len());
    assert_within(&arrivals, &limits, fixture.jitter());
}

/// With demand all the time, and after the first window, whose past is unknown.
pub async fn the_limit_is_used_to_the_full(fixture: &dyn QuotasFixture) {
    let many: [(_, u64, _); 2] =
        [(requests(fixture, 500), 500, 0), (tokens(fixture, 200_000), 200_000, 1_000)];
    for (limits, amount, guess) in many {
        let bench = Bench::new(fixture, limits.clone()).await;
        let window = bench.pace.unit * WINDOW;
        let start = Instant::now() + window;
        let calls = random_calls(guess / 10..guess + 1, Just(Some(100)));
        let arrivals = Demand::run(bench, calls, 300, start + window * 5).await;
        assert_within(&arrivals, &limits, fixture.jitter());
        let warm = arrivals.iter().filter(|arrival| arrival.latest >= start);
        let used: u64 =
            if guess == 0 { warm.count() as u64 } else { warm.map(|arrival| arrival.tokens).sum() };
        let share = used as f64 / (amount * 5) as f64;
        println!("{share:.4} of {amount}");
        assert!(share >= fixture.least_use(), "{share} of {amount}");
    }
}

/// State is lost twice while callers call, the first time soon after a quiet time that let them
/// burst. The windows that contain a restart are within, too.
pub async fn a_restart_stays_within_the_limit(fixture: &dyn QuotasFixture) {
    let many = [(requests(fixture, 500), 0), (tokens(fixture, 50_000), 100)];
    for (limits, guess) in many {
        let mut arrivals = Vec::new();
        for (quiet, busy) in [(WINDOW + 2, WINDOW / 2), (0, WINDOW / 3), (0, WINDOW * 2)] {
            let bench = Bench::new(fixture, limits.clone()).await;
            bench.pace.pass(quiet).await;
            let end = Instant::now() + bench.pace.unit * busy;
            arrivals.extend(Demand::run(bench, vec![(guess, Some(100), 10)], 60, end).await);
        }
        assert!(arrivals.len() > 800, "{} calls", arrivals.len());
        assert_within(&arrivals, &limits, fixture.jitter());
    }
}
