//! What goes wrong, as a caller sees it.

use std::time::Duration;

use serde_json::Value;

use super::{Running, said};

#[tokio::test]
async fn outages_and_storms() {
    let simulator = Running::start(|_| ()).await;
    simulator.fails("0s.. outage 503").await;
    assert_eq!(simulator.chatted().await.status(), 503);
    simulator.heals().await;

    simulator.fails("0s.. storm retry-after=5s").await;
    let answer = simulator.chatted().await;
    assert_eq!(answer.status(), 429);
    assert_eq!(
        (&answer.headers()["retry-after"], &answer.headers()["retry-after-ms"]),
        (&"5".parse().expect("a value"), &"5000".parse().expect("a value"))
    );
    simulator.heals().await;

    simulator.fails("0s.. outage reset").await;
    let error = simulator.chat().send().await.expect_err("no answer");
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    simulator.heals().await;
    assert_eq!(simulator.chatted().await.status(), 200);

    let ledger = simulator.ledger().await;
    let whys: Vec<_> = ledger.iter().map(|call| call["why"].as_str()).collect();
    assert_eq!(whys, [Some("outage 503"), Some("storm retry-after=5s"), Some("outage reset"), None]);
    assert!(ledger[..3].iter().all(|call| call["verdict"] == "fault" && call["charged"] == false));
}

#[tokio::test]
async fn a_refusing_outage_closes_the_door() {
    let simulator = Running::start(|_| ()).await;
    assert_eq!(simulator.chatted().await.status(), 200);
    simulator.fails("0s.. outage refuse").await;
    // The connection of the first call is kept, and reset; then there is none to be had.
    simulator.chat().send().await.expect_err("no answer");
    loop {
        let error = simulator.chat().send().await.expect_err("no answer");
        if error.is_connect() {
            break;
        }
    }
    simulator.heals().await;
    loop {
        // The door opens again in its own time.
        if let Ok(answer) = simulator.chat().send().await {
            assert_eq!(answer.status(), 200);
            break;
        }
    }
}

#[tokio::test]
async fn the_door_can_be_closed_from_the_start() {
    let outage = "0s.. outage refuse".parse().expect("a fault");
    let simulator = Running::start(|options| options.faults = vec![outage]).await;
    // What came before the listener was gone is reset.
    simulator.chat().send().await.expect_err("no answer");
    let error = simulator.chat().send().await.expect_err("no answer");
    assert!(error.is_connect(), "{error:?}");
    simulator.heals().await;
    while simulator.chat().send().await.is_err() {}
}

#[tokio::test]
async fn answers_that_are_none() {
    let simulator = Running::start(|_| ()).await;
    simulator.fails("0s.. reset").await;
    let answer = simulator.chatted().await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect_err("it breaks off");
    simulator.heals().await;

    simulator.fails("0s.. malformed").await;
    let body = simulator.chatted().await.bytes().await.expect("all of it");
    assert!(serde_json::from_slice::<Value>(&body).is_err(), "{body:?}");
    simulator.heals().await;

    simulator.fails("0s.. truncated").await;
    let answer = said(simulator.chatted().await).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    simulator.heals().await;

    simulator.fails("0s.. slow pause=1ms").await;
    assert_eq!(said(simulator.chatted().await).await["object"], "chat.completion");
    simulator.heals().await;

    simulator.fails("0s.. error 502").await;
    assert_eq!(simulator.chatted().await.status(), 502);
    simulator.heals().await;

    simulator.fails("0s.. hang").await;
    let error = simulator.chat().timeout(Duration::from_millis(200)).send().await.expect_err("no answer");
    assert!(error.is_timeout(), "{error:?}");
    let ledger = simulator.ledger().await;
    assert!(ledger.iter().all(|call| call["charged"] == true), "they used their quota: {ledger:?}");
}

#[tokio::test]
async fn faults_hit_as_often_as_they_should() {
    let simulator = Running::start(|options| options.seed = 7).await;
    simulator.fails("0s.. error p=0.3").await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(simulator.chatted().await.status() == 500);
    }
    // Six standard deviations around 60: the seed makes it the same each time anyway.
    assert!((21..=99).contains(&failed), "{failed}");
}

#[tokio::test]
async fn faults_have_their_time() {
    let simulator = Running::start(|options| {
        options.faults =
            vec!["0s..1h error".parse().expect("a fault"), "2h.. hang".parse().expect("a fault")];
    })
    .await;
    assert_eq!(simulator.chatted().await.status(), 500);
    let listed = simulator.client.get(format!("{}/faults", simulator.url)).send().await.expect("an answer");
    assert_eq!(listed.text().await.expect("a text"), "0s..1h error 500\n2h.. hang\n");
    simulator.heals().await;
    simulator.fails("1h.. error").await;
    assert_eq!(simulator.chatted().await.status(), 200, "not yet");
    let set = simulator.client.post(format!("{}/faults", simulator.control)).body("0s.. earthquake");
    let answer = set.send().await.expect("an answer");
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.expect("a text").contains("no kind `earthquake`"));
}
