//! Many jobs that are due at once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::extent::Extent;
use super::rig::{Limit, Rig, Site};

/// All jobs are accepted before anything runs. Prints the fullest window, and what Redis did for a job.
pub(crate) async fn print(site: &Site, extent: &Extent) {
    const WORKERS: usize = 4;
    let limit = Limit::Requests(6_000);
    let mut rig = Rig::prepare(site, extent, limit, "sliding-window").await;
    rig.submit(extent.jobs);
    let before = commands(&site.servers.urls.redis).await;
    rig.serve().await;
    for _ in 0..WORKERS {
        rig.add_worker();
    }
    let jobs = extent.jobs as u64;
    let windows = u32::try_from(jobs / limit.amount(extent) + 3).expect("a few");
    let is_done = |summary: &Value| summary["verdicts"]["served"].as_u64() >= Some(jobs);
    let done = rig.provider.reaches(extent.window * windows + Duration::from_mins(2), is_done).await;
    let after = commands(&site.servers.urls.redis).await;
    let calls = rig.provider.calls().await;
    let amount = limit.amount(extent);
    println!(
        "{jobs} jobs due at once, {amount} calls in {} s, {WORKERS} workers: fullest window {:.3} of the limit; \
         {}{}",
        extent.window.as_secs(),
        calls.fullest(limit.unit(), extent.window) as f64 / amount as f64,
        calls.rejected(),
        if done { "" } else { "; NOT ALL WERE CALLED in time" },
    );
    let made = calls.0.len().max(1) as f64;
    let mut all = 0;
    for (name, count) in after {
        let count = count - before.get(&name).copied().unwrap_or_default();
        all += count;
        if count as f64 / made >= 0.01 {
            println!("  Redis {name}: {:.2} a job", count as f64 / made);
        }
    }
    println!("  Redis, all commands: {:.2} a job", all as f64 / made);
    rig.clear().await;
}

/// How often each command was called by clients, by scripts not counted apart.
async fn commands(url: &str) -> BTreeMap<String, u64> {
    let client = redis::Client::open(url).expect("a Redis URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let info: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("Redis answers");
    let line = |line: &str| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), stats.split(',').next()?.parse().ok()?))
    };
    info.lines().filter_map(line).filter(|(name, _)| CLIENTS.contains(&name.as_str())).collect()
}

/// Commands that are not called by scripts alone: scripts' own commands are counted by Redis as well,
/// but cost no round trip.
const CLIENTS: [&str; 8] =
    ["evalsha", "eval", "script|load", "fcall", "publish", "subscribe", "ping", "info"];
