//! How fast it is; run with `--run-ignored only --no-capture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Broker, Message};

use super::world::{World, line};

const MESSAGES: usize = 60_000;

/// 1 KiB persistent messages on a quorum queue: confirmed publishes, then acknowledged deliveries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints rates"]
async fn rates() {
    let world = World::new().await;
    for callers in [1, 2, 4] {
        let rate = publish(&world, callers).await;
        println!("publish, {callers} callers of 500 each: {rate:.0}/s");
    }
    for concurrency in [1, 64] {
        let rate = consume(&world, concurrency).await;
        println!("consume and ack, prefetch 256, {concurrency} at a time: {rate:.0}/s");
    }
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

/// With more than one at a time, each is acknowledged by the time the next comes round.
async fn consume(world: &World, concurrency: usize) -> f64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut consumer = world.broker.consume(&line(0), 256).await.unwrap();
    let mut acks = std::collections::VecDeque::new();
    let since = Instant::now();
    for _ in 0..MESSAGES {
        let delivery = consumer.next().await.unwrap().unwrap();
        acks.push_back(tokio::spawn(delivery.ack()));
        if acks.len() >= concurrency {
            acks.pop_front().unwrap().await.unwrap().unwrap();
        }
    }
    for ack in acks {
        ack.await.unwrap().unwrap();
    }
    MESSAGES as f64 / since.elapsed().as_secs_f64()
}
