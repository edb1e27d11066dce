//! Forms: what is not the file is read within limits of its own.

use std::time::Duration;

use tokio::time::sleep;

use super::connections::Raw;
use super::fixture::Site;
use super::upload::{LOG, long_log};

const TEXT: &str = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
const FILE: &str = "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"app.log\"\r\n\r\n";
/// More than may stand around a file.
const MUCH: usize = (64 << 10) + 1;

/// A connection on which the head of a form was sent.
async fn form(site: &Site) -> Raw {
    let mut raw = Raw::open(site).await;
    let head = format!(
        "POST /v1/runs?pipeline=logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Api-Key: {}\r\n\
         Content-Type: multipart/form-data; boundary=XX\r\nTransfer-Encoding: chunked\r\n\r\n",
        site.key
    );
    raw.send(head.as_bytes()).await;
    raw
}

async fn send(raw: &mut Raw, text: &str) {
    raw.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await;
}

#[tokio::test]
async fn a_form_that_stops_is_told() {
    let site = Site::with(|parts| parts.options.body_timeout = Duration::from_millis(100)).await;
    for begun in ["--X", TEXT, FILE, &format!("{FILE}{LOG}\r\n{TEXT}x")] {
        let mut raw = form(&site).await;
        send(&mut raw, begun).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too-slow"), "{begun}: {answer}");
    }
}

#[tokio::test]
async fn a_form_that_comes_slowly_but_steadily_is_taken() {
    let site = Site::with(|parts| {
        (parts.options.body_timeout, parts.options.upload_rate) = (Duration::from_secs(1), 1);
    })
    .await;
    let mut raw = form(&site).await;
    send(&mut raw, TEXT).await;
    for _ in 0..6 {
        sleep(Duration::from_millis(250)).await;
        send(&mut raw, "slowly ").await;
    }
    send(&mut raw, &format!("\r\n{FILE}{LOG}\r\n--XX--\r\n")).await;
    raw.send(b"0\r\n\r\n").await;
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test]
async fn what_is_not_the_file_has_a_limit() {
    let site = Site::start().await;
    let much = "x".repeat(MUCH);
    let behind = format!("{FILE}{LOG}\r\n");
    for (name, begun) in [
        ("a preamble", "x".to_owned()),
        ("a text part", TEXT.to_owned()),
        ("a head", "--XX\r\nX-More: ".to_owned()),
        ("a text part behind the file", format!("{behind}{TEXT}")),
        ("a head behind the file", format!("{behind}--XX\r\nX-More: ")),
    ] {
        let mut raw = form(&site).await;
        send(&mut raw, &begun).await;
        // What comes in one piece with the file's end is not counted as behind it.
        sleep(Duration::from_secs(1)).await;
        send(&mut raw, &much).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("64 KiB"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_file_in_one_piece_with_its_form_is_no_part_of_what_is_around_it() {
    let log = long_log();
    let site = Site::with(|parts| parts.options.upload_bytes = log.len() as u64).await;
    for before in ["", "a preamble\r\n", &format!("{TEXT}{}\r\n", "x".repeat(60_000))] {
        let mut raw = form(&site).await;
        send(&mut raw, &format!("{before}{FILE}{log}\r\n{TEXT}x\r\n--XX--\r\n")).await;
        raw.send(b"0\r\n\r\n").await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}
