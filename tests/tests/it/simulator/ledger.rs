//! The book of calls.

use std::time::{Duration, SystemTime};

use fleetline_simulator::Distribution;
use serde_json::json;

use super::Running;

#[tokio::test]
async fn a_call_is_written_down_whole() {
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let simulator =
        Running::start(|options| options.latency = Distribution::Fixed(Duration::from_millis(30))).await;
    let chat = simulator.chat().bearer_auth("sk-secret").header("x-fleetline-job", "job-7");
    chat.send().await.expect("an answer");
    simulator.chat().bearer_auth("sk-other").send().await.expect("an answer");
    let ledger = simulator.ledger().await;
    let call = &ledger[0];
    for (field, expected) in [
        ("seq", json!(1)),
        ("endpoint", json!("chat")),
        ("marker", json!("job-7")),
        ("model", json!("gpt-4o-mini")),
        ("charged", json!(true)),
        ("verdict", json!("served")),
        ("status", json!(200)),
        ("why", json!(null)),
    ] {
        assert_eq!(call[field], expected, "{field} of {call}");
    }
    assert!(call["at_us"].as_u64().is_some_and(|at| u128::from(at) >= before.as_micros()), "{call}");
    assert!(call["latency_us"].as_u64().is_some_and(|latency| latency >= 30_000), "{call}");
    assert!(call["input_tokens"].as_u64() > Some(0) && call["output_tokens"].as_u64() > Some(0), "{call}");
    assert_eq!(call["content"], ledger[1]["content"], "the same was asked");
    assert_ne!(call["key"], ledger[1]["key"], "with another key");
    assert!(!call.to_string().contains("secret"), "{call}");
}

#[tokio::test]
async fn the_ledger_is_bounded_and_can_be_cleared() {
    let simulator = Running::start(|options| options.ledger_limit = 5).await;
    for _ in 0..8 {
        simulator.chatted().await;
    }
    let seqs = async || -> Vec<u64> {
        simulator.ledger().await.iter().filter_map(|call| call["seq"].as_u64()).collect()
    };
    assert_eq!(seqs().await, [4, 5, 6, 7, 8]);
    let summary = simulator.summary().await;
    assert_eq!((&summary["calls"], &summary["kept"]), (&json!(8), &json!(5)));
    let rest =
        simulator.client.get(format!("{}/ledger?after=6", simulator.url)).send().await.expect("an answer");
    assert_eq!(rest.text().await.expect("a text").lines().count(), 2);
    let cleared =
        simulator.client.delete(format!("{}/ledger", simulator.url)).send().await.expect("an answer");
    assert_eq!(cleared.status(), 204);
    assert_eq!(simulator.summary().await["calls"], 0);
    simulator.chatted().await;
    assert_eq!(seqs().await, [9], "numbers are never used again");
}

#[tokio::test]
async fn the_same_seed_draws_the_same() {
    let sizes = async |seed| -> Vec<u64> {
        let simulator = Running::start(|options| {
            options.seed = seed;
            options.output_tokens = Some(Distribution::Uniform(1, 1_000_000));
        })
        .await;
        for _ in 0..5 {
            simulator.chatted().await;
        }
        simulator.ledger().await.iter().filter_map(|call| call["output_tokens"].as_u64()).collect()
    };
    let first = sizes(1).await;
    assert_eq!(first, sizes(1).await);
    assert_ne!(first, sizes(2).await);
}
