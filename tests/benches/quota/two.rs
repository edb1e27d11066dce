//! Two upstreams on one line and the same workers, one of them paused: the other must not notice.

use std::ops::Range;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::calls::{Unit, us};
use super::extent::Extent;
use super::provider::Provider;
use super::rig::{Limit, Rig, Site};

const LIMIT: Limit = Limit::Requests(6_000);
const WORKERS: usize = 4;
const KIND: &str = "http.json";

/// A window with both, then one in which the second wants to be left alone.
pub(crate) async fn print(site: &Site, extent: &Extent) {
    let mut rig = Rig::prepare(site, extent, LIMIT, "sliding-window").await;
    let paused = rig.another_provider(extent, LIMIT, "sliding-window").await;
    let rate = LIMIT.rate(extent);
    for (name, url) in [("FREE", rig.provider.url.clone()), ("PAUSED", paused.url.clone())] {
        rig.set(&format!("FLEETLINE_UPSTREAMS__{name}__BASE_URL"), &format!("{url}/v1"));
        rig.set(&format!("FLEETLINE_UPSTREAMS__{name}__REQUESTS"), &rate);
    }
    rig.serve().await;
    for _ in 0..WORKERS {
        rig.add_worker();
    }
    submit(&rig, LIMIT.amount(extent) * 5).await;
    let patience = extent.window * 3 + Duration::from_mins(2);
    let called = rig.provider.reaches(patience, |calls| calls["charged_calls"].as_u64() > Some(0)).await;
    assert!(called, "no call within {patience:?}");
    // The first window is not measured.
    sleep(extent.window * 2).await;
    paused.fails(&format!("0s..1s storm retry-after={}s", extent.window.as_secs())).await;
    let held = longest_held(rig.database(), extent.window).await;
    sleep(Duration::from_secs(5)).await;
    report(&rig, &paused, extent, held).await;
    drop(paused);
    rig.clear().await;
}

/// Jobs for both, in turn.
async fn submit(rig: &Rig, each: u64) {
    /// In one request.
    const MOST: usize = 10_000;
    let job = |n, upstream| json!({ "kind": KIND, "args": { "upstream": upstream, "path": "/echo", "body": { "n": n } } });
    let jobs: Vec<Value> = (0..each).flat_map(|n| [job(n, "free"), job(n, "paused")]).collect();
    for jobs in jobs.chunks(MOST) {
        let sent = Client::new().post(format!("{}/v1/jobs", rig.intake())).json(&jobs).send().await;
        let answer = sent.expect("the intake answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }
}

/// While it is paused: the longest time for which a job of it was handed out and not given back.
async fn longest_held(database: &str, pause: Duration) -> f64 {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    let mut connection = PgConnection::connect(database).await.expect("Postgres answers");
    let begin: String =
        sqlx::query_scalar("SELECT now()::text").fetch_one(&mut connection).await.expect("a time");
    let end = Instant::now() + pause;
    let mut longest: f64 = 0.0;
    while Instant::now() < end {
        let held: Option<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM now() - greatest(min(dispatched_at), $1::timestamptz))::float8
             FROM queue WHERE state = 1 AND upstream = 'paused'",
        )
        .bind(&begin)
        .fetch_one(&mut connection)
        .await
        .expect("an answer");
        longest = longest.max(held.unwrap_or_default());
        sleep(LOOK_EVERY).await;
    }
    longest
}

async fn report(rig: &Rig, paused: &Provider, extent: &Extent, held: f64) {
    let (free, paused) = (rig.provider.calls().await, paused.calls().await);
    let first = paused.first_of("fault", 0).expect("a call met the storm");
    let window = us(extent.window);
    let (before, during) = (first - window..first, first..first + window);
    let amount = LIMIT.amount(extent) as f64;
    let used = |time: &Range<u64>| free.used(Unit::Calls, time.clone()) as f64 / amount;
    println!(
        "two upstreams of {LIMIT}/min each, {WORKERS} workers, one paused for {} s: the other used {:.3} of its limit in \
         the window before, {:.3} in that of the pause: {:.3} of it; {}",
        extent.window.as_secs(),
        used(&before),
        used(&during),
        used(&during) / used(&before),
        free.rejected(),
    );
    let known = first + us(Duration::from_millis(100));
    let back = paused.first_of("served", during.end).map(|at| (at - during.end) as f64 / 1e6);
    println!(
        "  calls of the paused one in the first 100 ms {}, in the rest of the pause {}, first answer {} after it; a job of it \
         was handed out for {held:.2} s at most; {}",
        paused.within(first..known),
        paused.within(known..during.end),
        back.map_or("none".to_owned(), |back| format!("{back:.1} s")),
        costs(rig).await,
    );
}

/// What a pause must not cost.
async fn costs(rig: &Rig) -> String {
    let mut connection = PgConnection::connect(rig.database()).await.expect("Postgres answers");
    let (failed, again): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM endings WHERE attempts > 1)
           + (SELECT count(*) FROM queue WHERE attempts > 0)",
    )
    .fetch_one(&mut connection)
    .await
    .expect("an answer");
    let stats = rig.queue(KIND).await;
    let redelivered = stats["message_stats"]["redeliver"].as_u64().unwrap_or_default();
    format!(
        "attempts that failed {failed}, jobs with more than one {again}; redelivered by the broker {redelivered}"
    )
}
