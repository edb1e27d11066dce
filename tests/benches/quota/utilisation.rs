//! Calls made of calls allowed, with none rejected.

use std::ops::Range;
use std::time::Duration;

use fleetline_tests::services::Server;
use serde_json::Value;
use tokio::time::sleep;

use super::calls::{Calls, us};
use super::extent::Extent;
use super::rig::{Limit, Rig, Site};

const SHAPES: [&str; 2] = ["sliding-window", "token-bucket"];

/// One limit, both shapes of limiter, some numbers of workers.
pub(crate) async fn print(site: &Site, extent: &Extent, limit: Limit) {
    for shape in SHAPES {
        for workers in &extent.workers {
            let rig = start(site, extent, limit, shape, *workers).await;
            let time = begun(&rig, extent).await;
            let whole = past(&rig, extent, &time).await;
            let calls = rig.provider.calls().await;
            report(&format!("{limit}/min, {shape}, {workers} workers"), &calls, extent, limit, time, whole);
            rig.clear().await;
        }
    }
}

/// While a worker is killed and another added, eight times within the measured windows.
pub(crate) async fn print_churn(site: &Site, extent: &Extent) {
    const TURNS: u32 = 8;
    let limit = Limit::Requests(6_000);
    let mut rig = start(site, extent, limit, SHAPES[0], 4).await;
    let time = begun(&rig, extent).await;
    for _ in 0..TURNS {
        sleep(extent.window * extent.windows / TURNS).await;
        rig.kill_worker();
        rig.add_worker();
    }
    let whole = past(&rig, extent, &time).await;
    let calls = rig.provider.calls().await;
    report(&format!("{limit}/min, 4 workers, {TURNS} killed and added"), &calls, extent, limit, time, whole);
    rig.clear().await;
}

/// While Redis is killed and started again in the middle of the measured windows.
pub(crate) async fn print_redis_restart(site: &Site, extent: &Extent) {
    let limit = Limit::Requests(6_000);
    // What the quota does not know any more must pass before it lets anything in.
    let longer = Extent { windows: extent.windows + 1, workers: Vec::new(), ..*extent };
    let rig = start(site, &longer, limit, SHAPES[0], 4).await;
    let time = begun(&rig, &longer).await;
    sleep(extent.window * extent.windows / 2).await;
    site.servers.kill(Server::Redis);
    site.servers.start_again(Server::Redis);
    let whole = past(&rig, &longer, &time).await;
    let calls = rig.provider.calls().await;
    let gap = calls.longest_gap(time.clone());
    report(&format!("{limit}/min, 4 workers, Redis killed and started"), &calls, &longer, limit, time, whole);
    println!(
        "  longest time without a call: {:.1} s of windows of {} s",
        gap.as_secs_f64(),
        extent.window.as_secs()
    );
    rig.clear().await;
}

async fn start(site: &Site, extent: &Extent, limit: Limit, shape: &str, workers: usize) -> Rig {
    // Some windows before the measured ones and after them. A call of these has about 1,000 tokens; with
    // twice as many jobs as that needs, none is short of work.
    const SPARE: u64 = 3;
    let windows = u64::from(extent.windows) + SPARE;
    let jobs = match limit {
        Limit::Requests(_) => limit.amount(extent) * windows,
        Limit::Tokens(_) => limit.amount(extent) * windows / 500,
    };
    Rig::start(site, extent, limit, shape, workers, usize::try_from(jobs).expect("a few")).await
}

/// Waits for the first call; the measured windows begin one window after it, when the fleet has found
/// its pace.
pub(crate) async fn begun(rig: &Rig, extent: &Extent) -> Range<u64> {
    let patience = extent.window * 3 + Duration::from_mins(2);
    let called = rig.provider.reaches(patience, |summary| summary["charged_calls"].as_u64() > Some(0)).await;
    assert!(called, "no call within {patience:?}");
    let first = rig.provider.calls().await.first_at().expect("there is one");
    let begin = first + us(extent.window);
    begin..begin + us(extent.window * extent.windows)
}

/// Waits until the measured windows have passed; `false` if calls have stopped coming before.
pub(crate) async fn past(rig: &Rig, extent: &Extent, time: &Range<u64>) -> bool {
    let patience = extent.window * (extent.windows + 3);
    let is_past = |summary: &Value| summary["last_at_us"].as_u64() >= Some(time.end);
    rig.provider.reaches(patience, is_past).await
}

fn report(what: &str, calls: &Calls, extent: &Extent, limit: Limit, time: Range<u64>, whole: bool) {
    let amount = limit.amount(extent);
    let allowed = amount * u64::from(extent.windows);
    let used = calls.used(limit.unit(), time);
    let fullest = calls.fullest(limit.unit(), extent.window) as f64 / amount as f64;
    println!(
        "{what}: used / allowed {used} / {allowed} = {:.3} over {} windows of {} s; fullest window {fullest:.3} of \
         the limit; {}{}",
        used as f64 / allowed as f64,
        extent.windows,
        extent.window.as_secs(),
        calls.rejected(),
        if whole { "" } else { "; CALLS STOPPED before the end" },
    );
}
