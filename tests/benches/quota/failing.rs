//! A provider that is away, and one that wants to be left alone.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::calls::{Calls, us};
use super::extent::Extent;
use super::rig::{Limit, Rig, Site};

const WORKERS: usize = 16;

/// No answer for a minute. Prints the calls that were made nevertheless, and the way back.
pub(crate) async fn print_outage(site: &Site, extent: &Extent) {
    const OUTAGE: Duration = Duration::from_mins(1);
    /// The breaker is open for so long before one call tries; a tenth more at random.
    const PROBE: Duration = Duration::from_secs(10);
    /// Calls that were on their way when it began, and those that had to fail before anybody knew.
    const OPENING: Duration = Duration::from_secs(2);
    let limit = Limit::Requests(6_000);
    let settings = ["FOR", "FOR_AT_MOST"].map(|name| {
        (format!("FLEETLINE_UPSTREAMS__OPENAI__BREAKER__{name}"), format!("{}s", PROBE.as_secs()))
    });
    let (rig, begin) = running(site, extent, limit, &settings).await;
    rig.provider.fails(&format!("0s..{}s outage reset", OUTAGE.as_secs())).await;
    sleep(OUTAGE + PROBE * 3 / 2 + extent.window).await;
    let calls = rig.provider.calls().await;
    let first = calls.first_of("fault", begin).expect("a call met the outage");
    let end = first + us(OUTAGE);
    let back = calls.first_of("served", end).map(|at| Duration::from_micros(at - end));
    println!(
        "outage of {} s, {WORKERS} workers, a probe every {} s: calls in its first {} s {}, in the rest of it {}; first \
         answer {} after its end; {}",
        OUTAGE.as_secs(),
        PROBE.as_secs(),
        OPENING.as_secs(),
        calls.within(first..first + us(OPENING)),
        calls.within(first + us(OPENING)..end),
        back.map_or("none".to_owned(), |back| format!("{:.1} s", back.as_secs_f64())),
        jobs(rig.database()).await,
    );
    print_seconds(&calls, end, limit.amount(extent) as f64 / extent.window.as_secs_f64());
    rig.clear().await;
}

/// One 429 with `Retry-After: 5` to each who calls within a second.
pub(crate) async fn print_storm(site: &Site, extent: &Extent) {
    const PAUSE: Duration = Duration::from_secs(5);
    /// What was on its way when the 429 came; what comes later was sent although it was known.
    const ON_ITS_WAY: Duration = Duration::from_millis(100);
    let limit = Limit::Requests(6_000);
    let (rig, begin) = running(site, extent, limit, &[]).await;
    rig.provider.fails("0s..1s storm retry-after=5s").await;
    sleep(PAUSE * 2).await;
    let calls = rig.provider.calls().await;
    let first = calls.first_of("fault", begin).expect("a call met the storm");
    let (known, end) = (first + us(ON_ITS_WAY), first + us(PAUSE));
    let last = calls.0.iter().rev().map(|call| call.at_us).find(|at| (known..end).contains(at));
    println!(
        "storm of 429s with Retry-After 5 s, {WORKERS} workers: calls in the first {} ms {}, in the rest of the pause \
         {}{}; in the 3 s after it {}; {}; {}",
        ON_ITS_WAY.as_millis(),
        calls.within(first..known),
        calls.within(known..end),
        last.map_or(String::new(), |at| format!(" (the last {} ms after the first)", (at - first) / 1_000)),
        calls.within(end..end + us(Duration::from_secs(3))),
        calls.rejected(),
        jobs(rig.database()).await,
    );
    rig.clear().await;
}

/// A fleet that has called for a window, and the time.
async fn running(site: &Site, extent: &Extent, limit: Limit, settings: &[(String, String)]) -> (Rig, u64) {
    const WINDOWS: u64 = 6;
    let jobs = usize::try_from(limit.amount(extent) * WINDOWS).expect("a few");
    let mut rig = Rig::prepare(site, extent, limit, "sliding-window").await;
    for (name, value) in settings {
        rig.set(name, value);
    }
    rig.begin(WORKERS, jobs).await;
    let patience = extent.window * 4 + Duration::from_mins(2);
    let amount = limit.amount(extent);
    let is_running = |summary: &Value| summary["charged_calls"].as_u64() >= Some(amount);
    assert!(rig.provider.reaches(patience, is_running).await, "the fleet has not begun within {patience:?}");
    let now = rig.provider.summary().await["last_at_us"].as_u64().expect("a time");
    (rig, now)
}

/// Seconds after the end of the outage until one second had nine tenths of the full rate.
fn print_seconds(calls: &Calls, end: u64, per_second: f64) {
    const SECOND: u64 = 1_000_000;
    let full = (0..120).find(|n| {
        let from = end + n * SECOND;
        calls.within(from..from + SECOND) as f64 >= per_second * 0.9
    });
    match full {
        Some(second) => println!("  back at nine tenths of the full rate within {} s", second + 1),
        None => println!("  never back at nine tenths of the full rate"),
    }
}

/// What the ledger says of the jobs.
async fn jobs(database: &str) -> String {
    let mut connection = PgConnection::connect(database).await.expect("Postgres answers");
    let count = "SELECT count(*) FILTER (WHERE state = 'dead'), count(*) FROM job_states";
    let (dead, all): (i64, i64) = sqlx::query_as(count).fetch_one(&mut connection).await.expect("an answer");
    format!("dead jobs {dead} of {all}")
}
