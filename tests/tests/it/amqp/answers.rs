//! Answers find back, whatever else is asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use fleetline_shared::rabbitmq::topology::SUBMIT_QUEUE;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::Value;
use tokio::time::timeout;

use super::outside::{Outside, log_job};

/// Direct reply-to, as whoever asks names it.
const DIRECT: &str = "amq.rabbitmq.reply-to";
/// An address as another node gives it out. `RabbitMQ` 3.10 closes the connection over which an answer goes there.
const FOREIGN: &str =
    "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA4NDU5NDk2NgAAH2EAAAAAY5lYMA==.n6LN8s2j2wrO5i3NOmlPnw==";

/// A service in another language.
struct Service {
    connection: Connection,
    channel: Channel,
    directly: Consumer,
    queue: String,
    on_queue: Consumer,
}

impl Service {
    async fn of(outside: &Outside) -> Self {
        let connection = Connection::connect(&outside.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await.unwrap();
        let queue = queue.name().to_string();
        let directly = consume(&channel, DIRECT).await;
        let on_queue = consume(&channel, &queue).await;
        Self { connection, channel, directly, queue, on_queue }
    }

    async fn ask(&self, message: &str, reply_to: &str) {
        let properties =
            BasicProperties::default().with_reply_to(reply_to.into()).with_correlation_id(message.into());
        let options = BasicPublishOptions::default();
        let body = log_job(message).to_string();
        self.channel
            .basic_publish("".into(), SUBMIT_QUEUE.into(), options, body.as_bytes(), properties)
            .await
            .unwrap();
    }
}

async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
}

/// What was asked, as soon as the answers to all of it are there.
async fn answered(answers: &mut Consumer, count: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while found.len() < count {
        let answer = timeout(Duration::from_mins(1), answers.next()).await.expect("in time");
        let answer = answer.expect("the consumer is there").expect("the broker is there");
        let body: Value = serde_json::from_slice(&answer.data).unwrap();
        assert!(body["accepted"]["run_id"].is_string(), "{body}");
        found.insert(answer.properties.correlation_id().as_ref().unwrap().to_string());
    }
    found
}

/// It costs neither the answers of others nor what `serve` publishes beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_its_connection_takes_nothing_with_it() {
    const GOOD: usize = 30;
    let outside = Outside::new().await;
    let mut service = Service::of(&outside).await;
    for number in 0..GOOD {
        if number % 10 == 5 {
            service.ask(&format!("foreign {number}"), FOREIGN).await;
        }
        let to = if number % 2 == 0 { DIRECT } else { &service.queue };
        service.ask(&format!("good {number}"), to).await;
        // Over the connection on which jobs, events and dead letters go: each must be confirmed.
        outside.send(&log_job(&format!("beside {number}")).to_string(), &format!("beside {number}")).await;
    }
    let good = |rest: usize| (0..GOOD).filter(move |n| n % 2 == rest).map(|n| format!("good {n}"));
    assert_eq!(answered(&mut service.directly, GOOD / 2).await, good(0).collect());
    assert_eq!(answered(&mut service.on_queue, GOOD / 2).await, good(1).collect());
    for number in 0..GOOD {
        outside.send(&log_job(&format!("behind {number}")).to_string(), &format!("behind {number}")).await;
    }
    service.connection.close(200, "done".into()).await.unwrap();
    outside.end().await;
}
