//! Uploads that go wrong: named, and cleared away.

use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::discovery::OnMalformed;
use fleetline_shared::domain::RunState;
use fleetline_shared::ports::{DispatchLedger, Page, QueryLedger, Role, RunRow};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions};
use fleetline_tests::chaos::proxy::{Link, Proxy};
use fleetline_tests::services::Database;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::connections::Raw;
use super::fixture::{Site, echoes, problem};
use super::upload::{LOG, long_log, spooled};

/// The only run, when it is as wanted.
pub(super) async fn run_when(site: &Site, wanted: impl Fn(&RunRow) -> bool) -> RunRow {
    only_run(&site.ledger, wanted).await
}

async fn only_run(ledger: &PostgresLedger, wanted: impl Fn(&RunRow) -> bool) -> RunRow {
    let mut changes = ledger.changes();
    loop {
        let mut runs = ledger.runs(None, Page::first(10)).await.expect("runs");
        assert!(runs.len() < 2, "{runs:?}");
        match runs.pop() {
            Some(run) if wanted(&run) => return run,
            _ => changes.changed().await.expect("the ledger works"),
        }
    }
}

/// An upload whose first half was read, and its second half.
async fn half_an_upload(site: &Site) -> (Raw, String) {
    let mut upload = Raw::open(site).await;
    let log = long_log();
    upload.head(site, "/v1/runs?pipeline=logs", log.len() * 2).await;
    upload.send(log.as_bytes()).await;
    run_when(site, |run| run.counts.jobs > 0).await;
    (upload, log)
}

#[tokio::test]
async fn a_log_cut_in_the_middle_leaves_a_cancelled_run_and_nothing_else() {
    let site = Site::start().await;
    let (upload, _) = half_an_upload(&site).await;
    drop(upload);
    let run = run_when(&site, |run| run.state == RunState::Finished).await;
    assert_eq!((run.counts.cancelled, run.counts.succeeded), (run.counts.jobs, 0));
    assert_eq!(site.work(10).await, 0);
}

/// Until whoever reads the upload has said so.
async fn is_read(site: &Site) {
    let mut looking = PgConnection::connect(&site.database.url).await.expect("the database answers");
    while !sqlx::query_scalar::<_, bool>("SELECT bool_or(read_at IS NOT NULL) FROM runs")
        .fetch_one(&mut looking)
        .await
        .expect("a run")
    {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Its server is gone, or so it seems. Nobody was told that any of it was accepted.
#[tokio::test]
async fn an_upload_that_was_left_is_cancelled_and_says_why() {
    let site = Site::start().await;
    let mut upload = Raw::open(&site).await;
    let log = long_log();
    upload.head(&site, "/v1/runs?pipeline=logs", log.len() * 2).await;
    upload.send(log.as_bytes()).await;
    let run = run_when(&site, |run| run.counts.jobs > 0).await;
    is_read(&site).await;
    assert_eq!(site.ledger.end_left(Duration::from_hours(1)).await.expect("it looks"), 0);
    assert_eq!(site.ledger.end_left(Duration::ZERO).await.expect("it looks"), 1);
    let shown = site.json(&format!("/v1/runs/{}", run.id)).await;
    assert_eq!(
        (&shown["state"], &shown["counts"]["cancelled"]),
        (&json!("finished"), &shown["counts"]["jobs"])
    );
    assert!(shown["cancelled_at_ms"].is_i64(), "{shown}");
    assert!(shown["problem"].as_str().expect("a text").contains("so the run was cancelled"), "{shown}");
    // It was only slow.
    upload.send(log.as_bytes()).await;
    let answer = upload.answer().await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("was cancelled while"), "{answer}");
}

/// The ledger on a way that can be cut.
async fn ledger_behind_a_proxy(database: &Database) -> (Proxy, PostgresLedger) {
    let (before, rest) = database.url.rsplit_once('@').expect("a URL with a user");
    let (server, name) = rest.split_once('/').expect("a URL with a database");
    let proxy = Proxy::start(server).await;
    let options = PostgresOptions {
        acquire_timeout: Duration::from_millis(200),
        ..PostgresOptions::new(format!("{before}@{}/{name}", proxy.address()))
    };
    let ledger = PostgresLedger::open(&options).await.expect("the ledger opens");
    (proxy, ledger)
}

#[tokio::test]
async fn a_run_that_cannot_be_cancelled_is_named_and_cancelled_when_the_ledger_is_back() {
    let database = Database::new().await;
    let (proxy, ledger) = ledger_behind_a_proxy(&database).await;
    let site = Site::with(|parts| parts.ledger = Arc::new(ledger)).await;
    let direct = database.open().await;
    let mut upload = Raw::open(&site).await;
    let log = long_log();
    upload.head(&site, "/v1/runs?pipeline=logs", log.len() * 2).await;
    upload.send(log.as_bytes()).await;
    let run = only_run(&direct, |run| run.counts.jobs > 0).await;
    proxy.set(Link::Cut);
    upload.end().await;
    let answer = upload.answer().await;
    assert!(answer.contains(&format!("run {} is still open", run.id)), "{answer}");
    assert!(!answer.contains("cancelled_run"), "{answer}");
    assert_eq!(only_run(&direct, |_| true).await.state, RunState::Open);
    proxy.set(Link::PASS);
    only_run(&direct, |run| run.state == RunState::Finished).await;
}

/// Without a key they may be there already.
#[tokio::test]
async fn jobs_are_sent_again_with_a_key_only() {
    let database = Database::new().await;
    let (proxy, ledger) = ledger_behind_a_proxy(&database).await;
    let site = Site::with(|parts| parts.ledger = Arc::new(ledger)).await;
    proxy.set(Link::Cut);
    let jobs = || site.post("/v1/jobs").json(&echoes([1]));
    let said = problem(jobs(), 503).await["detail"].to_string();
    assert!(said.contains("may have accepted") && said.contains("Idempotency-Key"), "{said}");
    let said = problem(jobs().header("idempotency-key", "k"), 503).await["detail"].to_string();
    assert!(said.contains("send the same request again"), "{said}");
}

#[tokio::test]
async fn what_is_read_whole_first_leaves_nothing_when_cut() {
    let site = Site::start().await;
    for path in ["/v1/runs?pipeline=discovery", "/v1/runs?pipeline=discovery&input=a.xml"] {
        let mut upload = Raw::open(&site).await;
        upload.head(&site, path, 1_000).await;
        upload.send(b"<a><b/>").await;
        upload.end().await;
        let answer = upload.answer().await;
        assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("cancelled_run"), "{answer}");
    }
    assert_eq!((site.runs().await.len(), spooled(&site)), (0, 0));
    // With a key the same request must still be possible.
    let send =
        |body: &'static str| site.post("/v1/runs?pipeline=logs").header("idempotency-key", "k").body(body);
    assert_eq!(send(LOG).send().await.expect("an answer").status(), 202);
    assert_eq!(site.runs().await.len(), 1);
}

#[tokio::test]
async fn more_files_at_once_than_there_are_places_are_told_to_come_later() {
    let site = Site::with(|parts| parts.options.uploads = 1).await;
    let (mut upload, log) = half_an_upload(&site).await;
    let said = problem(site.post("/v1/runs?pipeline=logs").body(LOG), 503).await;
    assert!(said["detail"].as_str().expect("a text").contains("send it later"), "{said}");
    upload.send(log.as_bytes()).await;
    assert!(upload.answer().await.starts_with("HTTP/1.1 202"));
    assert_eq!(site.post("/v1/runs?pipeline=logs").body(LOG).send().await.expect("an answer").status(), 202);
}

#[tokio::test]
async fn a_tenant_that_holds_its_places_keeps_no_other_out() {
    let site = Site::with(|parts| parts.options.uploads = 2).await;
    let (mut upload, log) = half_an_upload(&site).await;
    let said = problem(site.post("/v1/runs?pipeline=logs").body(LOG), 503).await;
    assert!(said["detail"].as_str().expect("a text").contains("of your tenant"), "{said}");
    let other = site.new_key("other", Role::Submit).await;
    let theirs =
        site.request(Method::POST, "/v1/runs?pipeline=logs").bearer_auth(other).body(LOG).send().await;
    assert_eq!(theirs.expect("an answer").status(), 202);
    upload.send(log.as_bytes()).await;
    assert!(upload.answer().await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_comes() {
    let site = Site::with(|parts| parts.options.upload_bytes = 1_000).await;
    let mut upload = Raw::open(&site).await;
    upload.head(&site, "/v1/runs?pipeline=logs", 1_001).await;
    let answer = upload.answer().await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("1000 bytes"), "{answer}");
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn a_file_of_unknown_length_is_refused_at_the_limit() {
    let log = long_log();
    let limit = log.len() as u64;
    let site = Site::with(|parts| parts.options.upload_bytes = limit).await;
    for (pipeline, cancelled) in [("logs", true), ("discovery", false)] {
        let mut upload = Raw::open(&site).await;
        let head = format!(
            "POST /v1/runs?pipeline={pipeline} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Api-Key: {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            site.key
        );
        upload.send(head.as_bytes()).await;
        upload.send(format!("{:x}\r\n{log}\r\n", log.len()).as_bytes()).await;
        if cancelled {
            run_when(&site, |run| run.counts.jobs > 0).await;
        }
        upload.send(b"1\r\nx\r\n0\r\n\r\n").await;
        let answer = upload.answer().await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert_eq!(answer.contains("cancelled_run"), cancelled, "{answer}");
    }
    let run = run_when(&site, |run| run.state == RunState::Finished).await;
    assert_eq!(run.counts.cancelled, run.counts.jobs);
    assert_eq!(spooled(&site), 0);
}

#[tokio::test]
async fn what_the_pipeline_cannot_read_is_told_with_its_place() {
    let site = Site::start().await;
    for (pipeline, body, part) in [
        ("discovery", "<a><b></a>", "line 1, column"),
        ("discovery", "", "empty"),
        ("discovery", "hello", "not XML"),
        ("discovery", "<!DOCTYPE a><a/>", "DOCTYPE"),
        ("logs", "\n\n", "empty"),
        ("logs", "\x1f\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}", "no text"),
    ] {
        let said = problem(site.post(&format!("/v1/runs?pipeline={pipeline}")).body(body), 422).await;
        assert!(said["detail"].as_str().expect("a text").contains(part), "{pipeline}: {said}");
    }
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn a_malformed_document_keeps_what_came_before_if_told_so() {
    let keep = OnMalformed::Keep;
    let site = Site::with(|parts| parts.pipelines.discovery_options.on_malformed = keep).await;
    let run = site.upload("discovery", "<a><b>1</b><b>2</b><b>3</b><c></a>").await;
    assert!(run["problem"].as_str().expect("a text").contains("line 1"), "{run}");
    assert_ne!(run["counts"]["jobs"], json!(0));
    assert_eq!(run["state"], "running");
}

#[tokio::test]
async fn pipelines_that_read_no_files() {
    let site = Site::start().await;
    for pipeline in ["jobs", "plan", "", "Logs"] {
        let said = problem(site.post(&format!("/v1/runs?pipeline={pipeline}")).body(LOG), 400).await;
        assert!(said["detail"].as_str().expect("a text").contains("discovery, logs"), "{said}");
    }
    problem(site.post("/v1/runs").body(LOG), 400).await;
}
