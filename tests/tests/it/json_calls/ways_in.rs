//! Both ways in, and what they refuse.

use fleetline_shared::rabbitmq::topology::{REASON_HEADER, REJECTED_QUEUE, SUBMIT_QUEUE};
use fleetline_shared::rabbitmq::{RabbitBroker, RabbitOptions};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use fleetline_tests::chaos::until;

use super::{Fleet, PATIENCE, ids};
use crate::simulator::Running;

async fn fleet(simulator: &Running) -> Fleet {
    let url = &simulator.url;
    Fleet::start(&format!("[upstreams.api]\nbase_url = \"{url}/v1\"\nauth = \"Bearer hunter2\"\n")).await
}

fn echo(number: u32) -> Value {
    json!({ "kind": "http.json", "args": { "upstream": "api", "path": "/echo", "body": { "number": number } } })
}

/// Args that can never work, and what is said of them.
fn bad_args() -> [(Value, &'static str); 5] {
    [
        (json!({ "upstream": "nowhere", "path": "/echo" }), "there is no `nowhere` to call (there is api)"),
        (json!({ "upstream": "api", "path": "/../admin" }), "must not have `.` and `..` as steps"),
        (json!({ "upstream": "api", "path": "/echo", "method": "GET", "body": 1 }), "a GET has none"),
        (
            json!({ "upstream": "api", "path": "/echo", "headers": { "Authorization": "mine" } }),
            "is not for jobs to set",
        ),
        (json!({ "upstream": "api", "path": "/echo", "bodi": 1 }), "bodi"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let simulator = Running::start(|_| {}).await;
    let fleet = fleet(&simulator).await;
    let jobs = fleet.accepted(&json!([echo(1), echo(2), echo(1)])).await;
    for (job, number) in jobs.iter().zip([1, 2, 1]) {
        let job = fleet.ended(job).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
        assert_eq!(job["output"]["echo"]["number"], number, "{job:#}");
    }
    assert_eq!(simulator.ledger().await.len(), 2, "equal calls share one");

    for (args, says) in bad_args() {
        let (status, answer) = fleet.submit(&json!([echo(3), { "kind": "http.json", "args": args }])).await;
        assert_eq!(status, 422, "{answer:#}");
        let error = &answer["errors"][0];
        assert_eq!((&error["index"], &error["field"]), (&json!(1), &json!("args")), "{answer:#}");
        assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{answer:#}");
        assert!(!answer.to_string().contains("hunter2"), "{answer:#}");
    }

    assert_eq!(simulator.ledger().await.len(), 2, "of a refused request nothing is called");

    let gone =
        fleet.accepted(&json!({ "kind": "http.json", "args": { "upstream": "api", "path": "/gone" } })).await;
    let gone = fleet.ended(&gone[0]).await;
    assert_eq!(gone["state"], "dead");
    assert!(gone["error"].as_str().is_some_and(|error| error.contains("HTTP 404")), "{gone:#}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_amqp() {
    let simulator = Running::start(|_| {}).await;
    let fleet = fleet(&simulator).await;
    let service = Connection::connect(&fleet.vhost.url, ConnectionProperties::default()).await.unwrap();
    let channel = service.create_channel().await.unwrap();
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let replies = channel.queue_declare("".into(), exclusive, FieldTable::default()).await.unwrap();
    let replies = replies.name().to_string();

    let reply = ask(&channel, &replies, &json!([echo(1), echo(2)])).await;
    for (job, number) in ids(&reply["accepted"]).iter().zip([1, 2]) {
        let job = fleet.ended(job).await;
        assert_eq!(job["output"]["echo"]["number"], number, "{job:#}");
    }

    for (args, says) in bad_args() {
        let job = json!({ "kind": "http.json", "args": args });
        let reply = ask(&channel, &replies, &job).await;
        let reason = reply["rejected"]["reason"].as_str().expect("a reason");
        assert!(reason.contains(says), "{reason}");
        let (body, kept) = dead_letter(&fleet).await;
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("as it was sent"), job);
        assert_eq!(kept.as_deref(), Some(reason));
    }
    assert_eq!(simulator.ledger().await.len(), 2);
    fleet.end().await;
}

/// Publishes to the intake, and waits for the answer.
async fn ask(channel: &Channel, replies: &str, jobs: &Value) -> Value {
    let properties = BasicProperties::default().with_reply_to(replies.into()).with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let body = jobs.to_string();
    channel
        .basic_publish("".into(), SUBMIT_QUEUE.into(), options, body.as_bytes(), properties)
        .await
        .unwrap();
    let reply = until("an answer", PATIENCE, async || {
        channel.basic_get(replies.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    })
    .await;
    serde_json::from_slice(&reply.delivery.data).expect("JSON")
}

/// The next message that was refused, taken off, with its reason.
async fn dead_letter(fleet: &Fleet) -> (Vec<u8>, Option<String>) {
    let options = RabbitOptions::new(fleet.vhost.url.as_str(), "producer", "test");
    let broker = RabbitBroker::new(&options).expect("a readable URL");
    let mut consumer = broker.intake(REJECTED_QUEUE, 1).await.expect("a consumer");
    let delivery = consumer.next().await.expect("alive").expect("whole");
    let seen = (delivery.body.clone(), delivery.header(REASON_HEADER));
    delivery.ack().await.expect("taken");
    drop(consumer);
    broker.close().await;
    seen
}
