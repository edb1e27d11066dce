//! Does a long backlog make each job dearer, and does it keep a short run waiting?

use std::time::{Duration, Instant};

use fleetline_producer::dispatcher::WindowBounds;
use fleetline_shared::ports::QueryLedger;

use crate::cpu::Cpu;
use crate::rig::{Rig, Work};
use crate::throughput::median;

const WINDOW: WindowBounds = WindowBounds { least: 64, most: 10_000 };
/// Jobs that are timed at each size of the backlog, and how often.
const TIMED: u64 = 10_000;
const ROUNDS: u64 = 5;
/// What waits beside which a long backlog is measured.
const FEW: u64 = 1_000;

/// The rate of jobs with ever more jobs waiting behind them, each beside one with few: a machine's speed
/// changes within minutes.
pub(crate) async fn print(largest: u64) {
    println!("cost of a job by backlog: the rate of {TIMED} jobs while so many wait, median of {ROUNDS}");
    for backlog in [100_000, 1_000_000].into_iter().filter(|size| *size <= largest) {
        let rates = [rate(FEW, false).await, rate(backlog, backlog == largest).await, rate(FEW, false).await];
        println!("    {:.2} of the mean of those beside it", 2.0 * rates[1] / (rates[0] + rates[2]));
    }
}

async fn rate(backlog: u64, is_last: bool) -> f64 {
    let rig = Rig::new().await;
    // The first ones are not timed.
    let run = rig.submit(Work::Noop, backlog + TIMED * (ROUNDS + 1)).await;
    let dispatcher = rig.dispatcher(Work::Noop, WINDOW);
    let worker = rig.worker(Work::Noop, 1_000);
    let from = until(&rig, run, TIMED).await;
    let (mut rates, cpu) = (Vec::new(), Cpu::now());
    let mut done = from;
    for round in 2..=ROUNDS + 1 {
        let (started, before) = (Instant::now(), done);
        done = until(&rig, run, TIMED * round).await;
        rates.push((done - before) as f64 / started.elapsed().as_secs_f64());
    }
    let used = cpu.since(done - from);
    let rate = median(rates);
    println!("  {backlog:>9} waiting   {rate:>8.0} jobs/s; {used}");
    if is_last {
        fairness(&rig).await;
    }
    worker.end().await;
    dispatcher.end().await;
    rig.remove().await;
    rate
}

/// A run of ten jobs behind what is left of the backlog.
async fn fairness(rig: &Rig) {
    let started = Instant::now();
    let run = rig.submit(Work::Noop, 10).await;
    until(rig, run, 10).await;
    println!(
        "  a run of 10 jobs submitted behind it finishes after {:.2} s",
        started.elapsed().as_secs_f64()
    );
}

async fn until(rig: &Rig, run: fleetline_shared::domain::RunId, succeeded: u64) -> u64 {
    loop {
        let row = rig.ledger.run(run).await.expect("a row").expect("the run");
        if row.counts.succeeded >= succeeded {
            return row.counts.succeeded;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
