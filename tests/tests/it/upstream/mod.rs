//! The client of an upstream against servers on the loopback.

mod heard;
mod quiet;
mod secure;
mod server;
mod tls;
mod tokens;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use fleetline_shared::domain::{CallContext, JobError, JobId};
use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use fleetline_worker::upstream::{Answer, UpstreamClient, UpstreamSettings};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use server::{Reply, Server};

fn client(settings: &UpstreamSettings) -> UpstreamClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    UpstreamClient::new("test", settings, HeaderMap::new(), Vec::new()).expect("good settings")
}

fn context() -> CallContext {
    CallContext::new(JobId::new(), 1, CancellationToken::new())
}

async fn post(client: &UpstreamClient, url: &Url) -> Result<Answer, JobError> {
    client.post(url, &json!({ "n": 1 }), &context()).await
}

async fn connections_of(settings: &UpstreamSettings, calls: usize) -> usize {
    let server = Server::start(Reply::default()).await;
    let client = client(settings);
    for _ in 0..calls {
        post(&client, &server.url("/")).await.expect("an answer");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), calls);
    seen.iter().map(|seen| seen.from).collect::<HashSet<SocketAddr>>().len()
}

#[tokio::test]
async fn calls_after_each_other_share_a_connection() {
    assert_eq!(connections_of(&UpstreamSettings::default(), 50).await, 1);
}

#[tokio::test]
async fn without_idle_connections_each_call_has_its_own() {
    let none = UpstreamSettings { idle_connections: 0, ..UpstreamSettings::default() };
    assert_eq!(connections_of(&none, 5).await, 5);
}

#[tokio::test]
async fn each_call_is_a_span_of_its_jobs_trace() {
    let server = Server::start(Reply::default()).await;
    let (client, context) = (client(&UpstreamSettings::default()), context());
    for _ in 0..2 {
        client.post(&server.url("/"), &json!({}), &context).await.expect("an answer");
    }
    let parents: Vec<String> =
        server.seen().iter().map(|seen| seen.header("traceparent").to_owned()).collect();
    let trace = context.job_id.to_string().replace('-', "");
    for parent in &parents {
        let parts: Vec<&str> = parent.split('-').collect();
        let [version, of, span, flags] = parts[..] else { panic!("{parent}") };
        assert_eq!((version, of, flags), ("00", trace.as_str(), "01"));
        let is_hex = |char: char| char.is_ascii_digit() || ('a'..='f').contains(&char);
        assert!(span.len() == 16 && span.chars().all(is_hex) && span != "0".repeat(16), "{parent}");
    }
    assert_ne!(parents[0], parents[1]);
    assert!(server.seen()[0].header("user-agent").starts_with("fleetline/"));
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let body = include_bytes!("answer.json.gz");
    let headers = vec![("content-encoding", "gzip")];
    let server = Server::start(Reply { headers, body, ..Reply::default() }).await;
    let answer = post(&client(&UpstreamSettings::default()), &server.url("/")).await.expect("an answer");
    let unpacked: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(unpacked, json!({ "packed": true }));
    assert!(server.seen()[0].header("accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_huge_one_is_cut_off() {
    let body = include_bytes!("bomb.json.gz");
    let headers = vec![("content-encoding", "gzip"), ("request-id", "req_big")];
    let server = Server::start(Reply { headers, body, ..Reply::default() }).await;
    let error = post(&client(&UpstreamSettings::default()), &server.url("/")).await.expect_err("too much");
    let expected = "the answer has more than 4194304 bytes (request id req_big)";
    assert_eq!(error, JobError::Retryable(expected.into()));
}

#[tokio::test]
async fn redirects_are_answers() {
    let headers = vec![("location", "http://127.0.0.1:1/")];
    let server = Server::start(Reply { status: 307, headers, ..Reply::default() }).await;
    let answer = post(&client(&UpstreamSettings::default()), &server.url("/")).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), server.seen().len()), (307, 1));
}

#[tokio::test]
async fn silence_ends_a_call() {
    let stub = OpenAiStub::start();
    stub.script([Behaviour::Hang]);
    // The whole call may take longer than any test runs.
    let settings = UpstreamSettings {
        read_timeout: Some(Duration::from_millis(200)),
        timeout: Duration::from_hours(1),
        ..UpstreamSettings::default()
    };
    let url = format!("{}/chat/completions", stub.base_url()).parse().expect("an address");
    let error = post(&client(&settings), &url).await.expect_err("silence");
    assert!(matches!(&error, JobError::Retryable(said) if said.starts_with("no answer in time")), "{error}");
    assert_eq!(stub.call_count(), 1, "it was not sent again");
}

#[tokio::test]
async fn nobody_takes_the_connection() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("bound");
    // The queue of those who wait is full when one more has to wait outside.
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queue.push(connected.expect("a place in the queue"));
    }
    let settings = UpstreamSettings {
        connect_timeout: Duration::from_millis(200),
        timeout: Duration::from_hours(1),
        ..UpstreamSettings::default()
    };
    let url = format!("http://{address}/").parse().expect("an address");
    let error = post(&client(&settings), &url).await.expect_err("no connection");
    assert!(matches!(&error, JobError::Retryable(said) if said.starts_with("no connection")), "{error}");
}
