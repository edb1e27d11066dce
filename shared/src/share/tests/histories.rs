//! Random histories: no window is over the limit, whenever the fleet's quota comes and goes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Switched, ask, per};
use crate::ports::{Admission, CallEnd, Limits, Quotas, Rates, Turn};

/// Tokio's clock wakes sleepers up to two milliseconds late.
const JITTER: Duration = Duration::from_millis(2);

/// Of each process.
const CALLERS: usize = 8;

/// A call: when it began, and its tokens.
type Call = (Instant, u64);

#[derive(Clone, Debug)]
struct History {
    limits: Limits,
    processes: u32,
    /// More may run.
    replicas: u32,
    /// Of each call.
    tokens: u64,
    /// How long a call takes, in milliseconds.
    takes: u64,
    /// The quota is there, then it is not, for so many milliseconds; whether its state is lost.
    switches: Vec<(u64, u64, bool)>,
    /// How long it goes on after the last.
    after: u64,
    /// Where in its interval each process looks, and when it begins.
    phases: Vec<u64>,
}

fn history() -> impl Strategy<Value = History> {
    let window = prop_oneof![2 => 5u64..60, 1 => 60u64..3_600];
    let limits = (8u64..600, window, any::<bool>(), any::<bool>());
    // In thousandths of a window, and in milliseconds.
    let time = || (prop_oneof![1 => Just(0u64), 1 => 0u64..300, 1 => 300u64..2_000], 0u64..6_000);
    let switches = prop::collection::vec((time(), time(), any::<bool>()), 1..6);
    let processes = (1u32..6, 0u32..3);
    let phases = prop::collection::vec(0u64..4_000, 6);
    (limits, processes, 1u64..40, 0u64..4_000, switches, phases).prop_map(
        |((amount, window, by_tokens, of_tenant), (processes, more), tokens, takes, switches, phases)| {
            let of = |(share, more): (u64, u64)| share * window + more;
            let requests = Some(per(amount, window)).filter(|_| !by_tokens);
            let limit = Some(per(amount * tokens, window)).filter(|_| by_tokens);
            let limits = if of_tenant {
                let rates = Rates { requests, tokens: limit, ..Rates::default() };
                Limits { per_tenant: Some(rates), ..Limits::default() }
            } else {
                Limits { requests, tokens: limit, ..Limits::default() }
            };
            History {
                limits,
                processes,
                replicas: processes + more,
                tokens,
                takes,
                switches: switches
                    .into_iter()
                    .map(|(there, away, forgets)| (of(there), of(away), forgets))
                    .collect(),
                after: window * 1_500,
                phases,
            }
        },
    )
}

/// Calls for ever, as fast as it may.
async fn call_on(quotas: Arc<dyn Quotas>, history: Arc<History>, calls: Arc<Mutex<Vec<Call>>>) {
    loop {
        match quotas.admit(ask(history.tokens)).await {
            Ok(Admission::Go { slot, reservation, .. }) => {
                if quotas.turn(&reservation, slot).await != Turn::Now {
                    quotas.give_back(reservation);
                    continue;
                }
                let began = (Instant::now(), history.tokens);
                calls.lock().unwrap_or_else(PoisonError::into_inner).push(began);
                sleep(Duration::from_millis(history.takes)).await;
                let _ = quotas.settle(reservation, CallEnd::unknown(None)).await;
            }
            Ok(Admission::NotBefore { wait, .. }) => sleep(wait.max(JITTER)).await,
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn live_through(history: History) -> Vec<Call> {
    let fleet = Switched::new(&history.limits);
    let (history, calls) = (Arc::new(history), Arc::default());
    let mut callers = JoinSet::new();
    let mut processes = Vec::new();
    for process in 0..history.processes as usize {
        sleep(Duration::from_millis(history.phases[process])).await;
        let quotas = fleet.process(history.replicas);
        for _ in 0..CALLERS {
            callers.spawn(call_on(quotas.clone(), Arc::clone(&history), Arc::clone(&calls)));
        }
        processes.push(quotas);
    }
    let History { switches, after, .. } = &*history;
    for (there, away, forgets) in switches {
        sleep(Duration::from_millis(*there)).await;
        fleet.set(false);
        sleep(Duration::from_millis(*away)).await;
        if *forgets {
            fleet.forget();
        }
        fleet.set(true);
    }
    sleep(Duration::from_millis(*after)).await;
    callers.shutdown().await;
    let mut calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
    calls.sort_unstable_by_key(|(began, _)| *began);
    calls
}

/// The largest share of the limit that any window holds.
fn most(calls: &[Call], limits: &Limits) -> f64 {
    let rates = limits.per_tenant.unwrap_or(limits.rates());
    let rate = rates.requests.or(rates.tokens).expect("one is limited");
    let units = |tokens: u64| if rates.requests.is_some() { 1 } else { tokens };
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (began, tokens) in calls {
        sum += units(*tokens);
        while calls[first].0 + rate.window <= *began + JITTER {
            sum -= units(calls[first].1);
            first += 1;
        }
        most = most.max(sum);
    }
    most as f64 / rate.amount as f64
}

#[test]
fn no_window_is_over_the_limit_whenever_the_fleets_quota_comes_and_goes() {
    let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    TestRunner::new(config)
        .run(&history(), |history| {
            let limits = history.limits.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            let calls = runtime.block_on(live_through(history));
            let most = most(&calls, &limits);
            prop_assert!(most <= 1.0, "{most} of the limit in a window");
            Ok(())
        })
        .unwrap();
}
