//! How fast the simulator itself is: it must not be what is measured.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use super::provider::Provider;

/// Chats from 32 connections for some seconds, with limits, headers and ledger. Prints calls per second
/// of the simulator's own CPU time: what it can do with one core.
pub(crate) async fn print() {
    const CONNECTIONS: usize = 32;
    const TIME: Duration = Duration::from_secs(5);
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let args = ["--requests", "100M/min", "--tokens", "1000000M/min"].map(ToOwned::to_owned);
    let provider = Provider::start(&args, folder.path()).await;
    let body = json!({
        "model": "gpt-4o-mini",
        "messages": [
            { "role": "system", "content": "You find facts. ".repeat(50) },
            { "role": "user", "content": "<Item><Name>thing</Name></Item>".repeat(20) },
        ],
        "max_completion_tokens": 4_000,
    });
    let url = format!("{}/v1/chat/completions", provider.url);
    let began = Instant::now();
    let caller = async || {
        let client = Client::new();
        let mut calls = 0_u64;
        while began.elapsed() < TIME {
            let answer = client.post(&url).json(&body).send().await.expect("an answer");
            assert!(answer.status().is_success());
            answer.bytes().await.expect("a whole answer");
            calls += 1;
        }
        calls
    };
    let calls: u64 = join_all((0..CONNECTIONS).map(|_| caller())).await.into_iter().sum();
    let cpu = provider.cpu_seconds();
    println!(
        "the simulator: {calls} chats in {:.1} s took {cpu:.2} s of CPU time: {:.0} calls/s with one core",
        began.elapsed().as_secs_f64(),
        calls as f64 / cpu,
    );
}
