//! TLS to an upstream: whom it trusts, and how its calls share connections.

use std::collections::HashSet;
use std::sync::Arc;

use axum::http::Version;
use fleetline_shared::domain::JobError;
use fleetline_tests::services::Authority;
use fleetline_worker::upstream::{UpstreamClient, UpstreamSettings};
use tokio::task::JoinSet;

use super::secure::SecureServer;
use super::{client, post};

const BOTH: [&str; 2] = ["h2", "http/1.1"];

/// Streams that the test's server takes on one connection of HTTP/2.
const STREAMS: usize = 200;

fn trusting(authority: &Authority) -> Arc<UpstreamClient> {
    Arc::new(client(&UpstreamSettings { ca: Some(authority.ca()), ..UpstreamSettings::default() }))
}

/// So many calls at the same time; each must succeed.
fn calls(client: &Arc<UpstreamClient>, server: &SecureServer, count: usize) -> JoinSet<()> {
    let call = |client: Arc<UpstreamClient>, url| async move {
        post(&client, &url).await.expect("an answer");
    };
    (0..count).map(|_| call(Arc::clone(client), server.url())).collect()
}

/// The connections and the versions of all calls so far.
fn came(server: &SecureServer) -> (usize, HashSet<Version>) {
    let came = server.came();
    let connections: HashSet<_> = came.iter().map(|came| came.from).collect();
    (connections.len(), came.iter().map(|came| came.version).collect())
}

#[tokio::test]
async fn calls_at_the_same_time_share_a_connection_of_http_2() {
    let authority = Authority::new();
    let server = SecureServer::start(&authority, &BOTH).await;
    let client = trusting(&authority);
    server.answer(1);
    calls(&client, &server, 1).join_all().await;
    let many = calls(&client, &server, 100);
    // None has its answer before all are there.
    server.calls_reach(101).await;
    server.answer(100);
    many.join_all().await;
    assert_eq!(came(&server), (1, HashSet::from([Version::HTTP_2])));
}

#[tokio::test]
async fn what_a_connection_does_not_take_waits_in_the_process() {
    let authority = Authority::new();
    let server = SecureServer::start(&authority, &BOTH).await;
    let client = trusting(&authority);
    server.answer(1);
    calls(&client, &server, 1).join_all().await;
    let many = calls(&client, &server, STREAMS + 50);
    server.calls_reach(1 + STREAMS).await;
    assert_eq!(server.came().len(), 1 + STREAMS, "the server's limit holds");
    server.answer(STREAMS + 50);
    many.join_all().await;
    assert_eq!(came(&server), (1, HashSet::from([Version::HTTP_2])));
}

#[tokio::test]
async fn without_http_2_each_call_at_the_same_time_has_a_connection() {
    let authority = Authority::new();
    let server = SecureServer::start(&authority, &["http/1.1"]).await;
    let client = trusting(&authority);
    let many = calls(&client, &server, 20);
    server.calls_reach(20).await;
    server.answer(20);
    many.join_all().await;
    assert_eq!(came(&server), (20, HashSet::from([Version::HTTP_11])));
}

#[tokio::test]
async fn calls_that_come_first_and_together_end_up_on_http_2() {
    let authority = Authority::new();
    let server = SecureServer::start(&authority, &BOTH).await;
    let many = calls(&trusting(&authority), &server, 50);
    server.calls_reach(50).await;
    server.answer(50);
    many.join_all().await;
    let (connections, versions) = came(&server);
    assert_eq!((connections, versions), (1, HashSet::from([Version::HTTP_2])));
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_told_with_what_to_do() {
    let authority = Authority::new();
    let server = SecureServer::start(&authority, &BOTH).await;
    let unknown = client(&UpstreamSettings::default());
    let by_address = server.url_by("127.0.0.1");
    for (client, url, says) in [
        (&unknown, server.url(), "in its ca_file"),
        (&*trusting(&Authority::new()), server.url(), "not of an authority that is trusted here"),
        (&*trusting(&authority), by_address, "is for localhost, not for 127.0.0.1"),
    ] {
        let error = post(client, &url).await.expect_err("no connection");
        let JobError::Retryable(said) = &error else { panic!("{error:?}") };
        assert!(
            said.starts_with("no connection (") && !said.contains("https://") && said.contains(says),
            "{said}"
        );
    }
    assert!(server.came().is_empty());
}
