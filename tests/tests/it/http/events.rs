//! A run followed by server-sent events.

use std::time::Duration;

use fleetline_shared::ports::KeyLedger;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::fixture::{Site, echoes};

/// An event stream, read event by event.
pub(super) struct Events {
    response: Response,
    text: String,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    id: String,
    data: Value,
}

impl Events {
    pub(super) async fn of(site: &Site, run: &str, seen: Option<&str>) -> Self {
        let mut request = site.get(&format!("/v1/runs/{run}/events"));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next block of lines; `None`: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = self.response.chunk().await.expect("the stream works")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// The next event that is more than a sign of life.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                    .map(ToOwned::to_owned)
            };
            if let Some(name) = field("event") {
                let data = serde_json::from_str(&field("data").expect("data")).expect("JSON");
                return Some(Event { name, id: field("id").expect("an id"), data });
            }
        }
    }
}

async fn submitted(site: &Site, jobs: i64) -> String {
    site.submit(&echoes(0..jobs)).await["run_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_run_is_followed_to_its_end() {
    let site = Site::start().await;
    let run = submitted(&site, 3).await;
    let mut events = Events::of(&site, &run, None).await;
    for done in 0..3 {
        let event = events.next().await.expect("more to come");
        assert_eq!((event.name.as_str(), &event.data["counts"]["succeeded"]), ("progress", &done.into()));
        assert_eq!(site.work(1).await, 1);
    }
    let last = events.next().await.expect("the end");
    assert_eq!(
        (last.name.as_str(), last.id.as_str(), &last.data["state"]),
        ("finished", "finished", &"finished".into())
    );
    assert!(events.next().await.is_none());
    // Whoever comes later hears of the end at once, whoever has heard of it is sent away.
    assert_eq!(Events::of(&site, &run, None).await.next().await.expect("the end").name, "finished");
    let away = site.get(&format!("/v1/runs/{run}/events")).header("last-event-id", "finished").send().await;
    assert_eq!(away.expect("an answer").status(), 204);
}

#[tokio::test]
async fn what_was_seen_is_not_sent_again() {
    let site = Site::start().await;
    let run = submitted(&site, 2).await;
    let first = Events::of(&site, &run, None).await.next().await.expect("the state now");
    let mut again = Events::of(&site, &run, Some(&first.id)).await;
    site.work(1).await;
    let next = again.next().await.expect("the change");
    assert_eq!(next.data["counts"]["succeeded"], 1);
    assert_ne!(next.id, first.id);
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let site = Site::with(|parts| parts.options.key_cache = Duration::ZERO).await;
    let run = submitted(&site, 1).await;
    let mut events = Events::of(&site, &run, None).await;
    events.next().await.expect("the state now");
    let id = site.keys.keys().await.expect("keys")[0].id;
    assert!(site.keys.revoke_key(id).await.expect("it is there"));
    let end = timeout(Duration::from_secs(20), events.next()).await.expect("it comes soon");
    assert!(end.is_none(), "{end:?}");
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let site = Site::with(|parts| parts.options.heartbeat = Duration::from_millis(5)).await;
    let run = submitted(&site, 1).await;
    let mut events = Events::of(&site, &run, None).await;
    events.next().await.expect("the state now");
    assert_eq!(events.block().await.expect("a sign of life"), ": alive");
}
