//! What answers say about quota, and what the upstream calls them, reaches those who need it.

use std::time::Duration;

use fleetline_shared::domain::{CallContext, Dimension, DimensionStanding, JobError};
use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use fleetline_worker::upstream::{Answer, UpstreamSettings};
use serde_json::json;

use super::server::{Reply, Server};
use super::{client, context};
use crate::cli::harness::{Place, log_of};
use crate::openai::{config, perform_log};

const STANDING: [(&str, &str); 4] = [
    ("x-ratelimit-limit-tokens", "200000"),
    ("x-ratelimit-remaining-tokens", "199000"),
    ("x-ratelimit-reset-tokens", "300ms"),
    ("retry-after", "30"),
];

async fn call(status: u16) -> (Answer, CallContext) {
    let server = Server::start(Reply { status, headers: STANDING.to_vec(), ..Reply::default() }).await;
    let context = context();
    let client = client(&UpstreamSettings::default());
    (client.post(&server.url("/"), &json!({}), &context).await.expect("an answer"), context)
}

#[tokio::test]
async fn every_answer_is_heard() {
    for (status, retry_after) in [
        // To these, `retry-after` is about something else.
        (200, None),
        (202, None),
        (400, Some(30)),
        (429, Some(30)),
        (503, Some(30)),
    ] {
        let (answer, context) = call(status).await;
        let heard = context.feedback();
        assert_eq!(answer.feedback, heard);
        assert_eq!(heard.retry_after, retry_after.map(Duration::from_secs), "{status}");
        let standing = DimensionStanding {
            dimension: Dimension::Tokens,
            limit: Some(200_000),
            remaining: Some(199_000),
            reset: Some(Duration::from_millis(300)),
            window: None,
        };
        assert_eq!(heard.standings, [standing], "{status}");
        assert_eq!(context.is_refused(), status >= 300, "{status}");
    }
}

#[tokio::test]
async fn the_analyser_hears_what_its_server_says() {
    let stub = OpenAiStub::start();
    let headers = vec![
        ("retry-after-ms", "1500".to_owned()),
        ("x-ratelimit-limit-requests", "500".to_owned()),
        ("x-ratelimit-remaining-requests", "0".to_owned()),
        ("x-ratelimit-reset-requests", "6m0s".to_owned()),
        ("x-request-id", "req_123".to_owned()),
    ];
    stub.script([Behaviour::Status(429, headers, "{}".into())]);
    let context = context();
    let error = perform_log(config(&stub), &context).await.expect_err("limited");
    let wait = Some(Duration::from_millis(1_500));
    let JobError::RateLimited { retry_after, message } = error else { panic!("{error:?}") };
    assert_eq!((retry_after, context.feedback().retry_after), (wait, wait));
    assert!(message.ends_with("(request id req_123)"), "{message}");
    let standing = context.feedback().standings[0];
    assert_eq!((standing.limit, standing.reset), (Some(500), Some(Duration::from_mins(6))));

    perform_log(config(&stub), &context).await.expect("an analysis");
    assert_eq!(context.feedback().retry_after, wait, "an answer that says nothing changes nothing");
}

#[test]
fn failed_attempts_show_the_upstreams_name_for_the_request() {
    let stub = OpenAiStub::start();
    let failed = |status, id: &str| {
        let body = r#"{"error":{"message":"broken"}}"#;
        Behaviour::Status(status, vec![("x-request-id", id.to_owned())], body.to_owned())
    };
    stub.script([failed(500, "req_first"), failed(400, "req_last")]);
    let place = Place::with_stub(&stub)
        .env("FLEETLINE_WORKER__CONCURRENCY", "1")
        .env("FLEETLINE_JOBS__BACKOFF_BASE", "1ms");
    place.write("a.log", log_of(1));
    place.run(&["run", "a.log"]).exits(3);
    let jobs = place.run(&["jobs", "--json"]).exits(0).rows();
    let error = jobs[0]["error"].as_str().expect("an error");
    assert!(error.ends_with("(request id req_last)"), "{error}");
    let id = jobs[0]["job_id"].as_str().expect("an id");
    let shown = place.run(&["dead", "show", id]).exits(0).json();
    let attempts = shown["detail"]["attempts"].as_array().expect("attempts");
    let said: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["error"].as_str()).collect();
    assert!(said[0].ends_with("(request id req_first)"), "{said:?}");
}
