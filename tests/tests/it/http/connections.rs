//! Slow clients, and requests byte by byte.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::fixture::Site;

/// A connection on which a test says every byte itself.
pub(super) struct Raw(TcpStream);

impl Raw {
    pub(super) async fn open(site: &Site) -> Self {
        Self(TcpStream::connect(site.address).await.expect("a connection"))
    }

    /// The head of a POST.
    pub(super) async fn head(&mut self, site: &Site, path: &str, length: usize) {
        let key = &site.key;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.send(head.as_bytes()).await;
    }

    /// A whole GET.
    pub(super) async fn get(&mut self, site: &Site, path: &str) {
        let key = &site.key;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: application/x-ndjson\r\n\r\n"
        );
        self.send(head.as_bytes()).await;
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the other side takes it");
    }

    /// Says that nothing more will come.
    pub(super) async fn end(&mut self) {
        self.0.shutdown().await.expect("the connection works");
    }

    /// Sends on until the other side has closed the connection.
    async fn is_left(&mut self) {
        let left = async {
            while self.0.write_all(b" ").await.is_ok() {
                sleep(SHORT).await;
            }
        };
        timeout(Duration::from_secs(20), left).await.expect("it is left");
    }

    /// Waits until something comes.
    pub(super) async fn begins(&mut self) {
        self.0.read_exact(&mut [0; 1]).await.expect("it begins");
    }

    /// All that comes until the other side closes.
    pub(super) async fn answer(&mut self) -> String {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        String::from_utf8(all).expect("text")
    }
}

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let site = Site::with(|parts| parts.options.header_timeout = SHORT).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut slow = Raw::open(&site).await;
        slow.send(begun.as_bytes()).await;
        assert_eq!(slow.answer().await, "", "closed without an answer");
    }
}

/// What comes first on a connection of HTTP/2, and an empty frame of settings.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn http_2_is_not_spoken() {
    let site = Site::start().await;
    let mut other = Raw::open(&site).await;
    other.send(HTTP_2).await;
    assert_eq!(other.answer().await, "", "closed without an answer");
    let mut upgrade = Raw::open(&site).await;
    upgrade
        .send(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    upgrade.end().await;
    let answer = upgrade.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_connection_serves_on_and_ends_when_nothing_is_asked() {
    let site =
        Site::with(|parts| (parts.options.header_timeout, parts.options.idle_timeout) = (LONG, SHORT)).await;
    let mut quiet = Raw::open(&site).await;
    for _ in 0..2 {
        quiet.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    let answers = quiet.answer().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_long_answer_is_not_taken_for_an_idle_connection() {
    let site = Site::with(|parts| {
        (parts.options.header_timeout, parts.options.idle_timeout) = (SHORT, SHORT);
        parts.options.heartbeat = SHORT * 3;
    })
    .await;
    let run = site.submit(&super::fixture::echoes([1])).await["run_id"].as_str().expect("an id").to_owned();
    let response = site.get(&format!("/v1/runs/{run}/events")).send().await;
    let mut response = response.expect("an answer");
    let mut heartbeats = 0;
    while heartbeats < 2 {
        let chunk = response.chunk().await.expect("the stream goes on").expect("it has no end");
        heartbeats += usize::from(chunk.starts_with(b": alive"));
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told() {
    let site = Site::with(|parts| parts.options.body_timeout = SHORT).await;
    for path in ["/v1/jobs", "/v1/runs?pipeline=logs", "/v1/runs?pipeline=discovery"] {
        let mut slow = Raw::open(&site).await;
        slow.head(&site, path, 100).await;
        slow.send(b"[{").await;
        let answer = slow.answer().await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too-slow"), "{answer}");
    }
    assert!(site.runs().await.is_empty());
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let site = Site::with(|parts| parts.options.upload_bytes = 1_000).await;
    let file = vec![b'x'; 32 << 20];
    for key in [site.key.as_str(), "unknown"] {
        let mut upload = Raw::open(&site).await;
        let head = format!(
            "POST /v1/runs?pipeline=logs HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            file.len()
        );
        upload.send(head.as_bytes()).await;
        upload.send(&file).await;
        upload.send(b"\r\n0\r\n\r\n").await;
        upload.end().await;
        let answer = upload.answer().await;
        let status = if key == "unknown" { "HTTP/1.1 401" } else { "HTTP/1.1 413" };
        assert!(answer.starts_with(status), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_left() {
    let site = Site::start().await;
    let mut upload = Raw::open(&site).await;
    upload.send(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n[").await;
    let answer = upload.answer().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    upload.is_left().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let site = Site::with(|parts| parts.options.write_timeout = SHORT).await;
    let mut deaf = Raw::open(&site).await;
    // Far more answers than the sockets' buffers hold.
    for _ in 0..2_000 {
        deaf.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    deaf.is_left().await;
}
