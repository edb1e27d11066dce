//! How fast it is; run with `--run-ignored only --no-capture`.

use std::sync::Arc;
use std::time::Instant;

use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Broker, Message};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::world::{World, line};

const MESSAGES: usize = 60_000;

/// 1 KiB persistent messages on a quorum queue: confirmed publishes, then acknowledged deliveries;
/// beside them the bare client library, whose acknowledgements cover a hundred each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints rates"]
async fn rates() {
    let world = World::new().await;
    for callers in [1, 2, 4] {
        let rate = publish(&world, callers).await;
        println!("publish, {callers} callers of 500 each: {rate:.0}/s");
    }
    for group in [1, 64] {
        let rate = consume(&world, group).await;
        println!("consume and ack, prefetch 256, {group} acks at a time: {rate:.0}/s");
    }
    println!("bare lapin, prefetch 256, one ack for a hundred: {:.0}/s", bare(&world).await);
}

async fn publish(world: &World, callers: usize) -> f64 {
    let since = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let broker = Arc::clone(&world.broker);
            tokio::spawn(async move {
                for _ in 0..MESSAGES / callers / 500 {
                    let message = || Message { line: line(0), id: JobId::new(), body: vec![b'x'; 1_024] };
                    let answers = broker.publish((0..500).map(|_| message()).collect()).await;
                    assert!(answers.iter().all(Result::is_ok));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    MESSAGES as f64 / since.elapsed().as_secs_f64()
}

/// Acknowledges in groups, as a worker does after a commit, and takes while they are written.
async fn consume(world: &World, group: usize) -> f64 {
    let mut consumer = world.broker.consume(&line(0), 256).await.unwrap();
    let mut acks = FuturesUnordered::new();
    let since = Instant::now();
    for _ in 0..MESSAGES {
        acks.push(consumer.next().await.unwrap().unwrap().ack());
        if acks.len() >= group * 2 {
            for ack in acks.by_ref().take(group).collect::<Vec<_>>().await {
                ack.unwrap();
            }
        }
    }
    while let Some(ack) = acks.next().await {
        ack.unwrap();
    }
    MESSAGES as f64 / since.elapsed().as_secs_f64()
}

async fn bare(world: &World) -> f64 {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&world.vhost().url, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(256, BasicQosOptions::default()).await.unwrap();
    let queue = format!("fleetline.jobs.{}", line(0));
    let options = BasicConsumeOptions::default();
    let mut consumer =
        channel.basic_consume(queue.into(), "bare".into(), options, FieldTable::default()).await.unwrap();
    let since = Instant::now();
    for number in 1..=MESSAGES {
        let delivery = consumer.next().await.unwrap().unwrap();
        if number % 100 == 0 {
            assert!(delivery.ack(BasicAckOptions { multiple: true }).await.unwrap());
        }
    }
    MESSAGES as f64 / since.elapsed().as_secs_f64()
}
