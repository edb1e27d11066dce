//! The end of the process: what is under way is answered.

use std::time::Duration;

use fleetline_shared::domain::RunState;
use fleetline_shared::ports::{DispatchLedger, Page, QueryLedger};

use serde_json::json;
use tokio::time::timeout;

use super::connections::Raw;
use super::events::Events;
use super::fixture::{Site, echoes};
use super::upload::long_log;
use super::upload_faults::run_when;

#[tokio::test]
async fn answers_finish_and_streams_end() {
    let site = Site::start().await;
    let run = site.submit(&echoes([1])).await["run_id"].as_str().expect("an id").to_owned();
    let mut events = Events::of(&site, &run, None).await;
    events.next().await.expect("the state now");
    let log = long_log();
    let mut upload = Raw::open(&site).await;
    upload.head(&site, "/v1/runs?pipeline=logs", 2 * log.len()).await;
    upload.send(log.as_bytes()).await;

    // The upload is under way once its run is there.
    let mut changes = site.ledger.changes();
    while site.ledger.runs(Some("acme"), Page::first(10)).await.expect("runs").len() < 2 {
        changes.changed().await.expect("the ledger works");
    }
    site.shutdown.cancel();
    assert!(events.next().await.is_none(), "a stream ends");
    upload.send(log.as_bytes()).await;
    let answer = upload.answer().await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    site.serving.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn an_upload_that_does_not_end_is_broken_off_and_its_run_cancelled() {
    let site = Site::with(|parts| parts.options.grace = Duration::from_millis(50)).await;
    let log = long_log();
    let mut upload = Raw::open(&site).await;
    upload.head(&site, "/v1/runs?pipeline=logs", 2 * log.len()).await;
    upload.send(log.as_bytes()).await;
    run_when(&site, |run| run.counts.jobs > 0).await;
    site.shutdown.cancel();
    let answer = upload.answer().await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("cancelled_run"), "{answer}");
    site.serving.await.expect("no panic").expect("a clean end");
    let runs = site.ledger.runs(None, Page::first(10)).await.expect("runs");
    assert_eq!((runs[0].state, runs[0].counts.cancelled), (RunState::Finished, runs[0].counts.jobs));
}

/// There is nothing to clear away.
#[tokio::test]
async fn a_client_that_takes_its_time_does_not_delay_the_end() {
    let site = Site::with(|parts| {
        parts.options.grace = Duration::from_millis(50);
        parts.options.clearing = Duration::from_hours(1);
    })
    .await;
    // Far more than the sockets' buffers hold.
    let text = json!("x".repeat(20_000)).to_string();
    let large = |n: i64| json!({ "kind": "test.echo", "args": { "n": n, "text": text } });
    let run = site.submit(&(0..700).map(large).collect()).await["run_id"].as_str().expect("an id").to_owned();
    assert_eq!(site.work(1_000).await, 700);
    let mut slow = Raw::open(&site).await;
    slow.get(&site, &format!("/v1/runs/{run}/results")).await;
    slow.begins().await;
    site.shutdown.cancel();
    let ended =
        timeout(Duration::from_mins(1), site.serving).await.expect("long before the time to clear away");
    ended.expect("no panic").expect("a clean end");
}
