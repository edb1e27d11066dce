//! Consumers that come and go.

use std::collections::BTreeSet;

use fleetline_shared::ports::{Broker, Deliveries, Delivery, Taker};
use fleetline_shared::rabbitmq::RabbitBroker;
use fleetline_tests::conformance::Pace;
use futures_util::future::join_all;

use super::world::{World, delete_queue, line, message, options};

const PACE: Pace = Pace::REAL;

async fn next(consumer: &mut Box<dyn Deliveries>) -> Delivery {
    PACE.soon(consumer.next()).await.expect("the consumer is there").expect("the broker is there")
}

async fn publish(world: &World, numbers: std::ops::Range<u32>) {
    let messages = numbers.map(|number| message(&line(0), number)).collect();
    for answer in world.broker.publish(messages).await {
        answer.expect("the broker takes it");
    }
}

#[tokio::test]
async fn a_deleted_queue_ends_its_consumers_and_the_next_one_declares_it() {
    let world = World::new().await;
    publish(&world, 0..2).await;
    let mut consumer = world.broker.consume(&line(0), 1).await.unwrap();
    let held = next(&mut consumer).await;
    delete_queue(&world, &line(0)).await;
    drop(held);
    let ended = PACE.soon(consumer.next()).await;
    assert!(!matches!(ended, Some(Ok(_))), "the queue is gone");
    assert!(PACE.soon(consumer.next()).await.is_none(), "and stays gone");
    let mut consumer = world.broker.consume(&line(0), 1).await.unwrap();
    publish(&world, 5..6).await;
    assert_eq!(next(&mut consumer).await.body, b"5");
}

/// Quorum queues forget acknowledgements that are under way when a channel closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_close_loses_no_acknowledgement() {
    const MESSAGES: u32 = 5_000;
    let world = World::new().await;
    publish(&world, 0..MESSAGES).await;
    let mut left = MESSAGES;
    for _ in 0..4 {
        let worker = RabbitBroker::new(&options(&world.vhost().url)).unwrap();
        let mut consumer = worker.consume(&line(0), 1_300).await.unwrap();
        // The first is settled last, so each of the others is an acknowledgement of its own.
        let first = next(&mut consumer).await;
        let mut held = Vec::new();
        for _ in 1..MESSAGES / 4 {
            held.push(next(&mut consumer).await);
        }
        let mut acks = join_all(held.into_iter().map(Delivery::ack)).await;
        // A broker closes at once only when nobody has a delivery any more.
        acks.push(first.ack().await);
        for ack in acks {
            ack.expect("it is written");
            left -= 1;
        }
        // Just written, and the rest of the prefetch is in the buffer.
        drop(consumer);
        worker.close().await;
        assert_eq!(world.ready(&line(0)).await, left as usize, "every acknowledgement arrived");
    }
}

/// Settled in any order, by many tasks, some given back: no message is lost or settled twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_in_any_order_settle_what_they_name() {
    let world = World::new().await;
    publish(&world, 0..500).await;
    let mut consumer = world.broker.consume(&line(0), 500).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..500 {
        held.push(next(&mut consumer).await);
    }
    fastrand::Rng::with_seed(7).shuffle(&mut held);
    let back = held.split_off(400);
    let expected: BTreeSet<_> = back.iter().map(|delivery| delivery.body.clone()).collect();
    let acks: Vec<_> = held.into_iter().map(|delivery| tokio::spawn(delivery.ack())).collect();
    drop(back);
    for ack in acks {
        ack.await.unwrap().unwrap();
    }
    let mut again = BTreeSet::new();
    for _ in 0..100 {
        let delivery = next(&mut consumer).await;
        assert!(delivery.redelivered);
        again.insert(delivery.body.clone());
        delivery.ack().await.unwrap();
    }
    assert_eq!(again, expected);
    PACE.nothing(consumer.next(), "all are settled").await;
}

#[tokio::test]
async fn a_settled_delivery_moves_its_line() {
    let world = World::new().await;
    publish(&world, 0..1).await;
    PACE.nothing(world.broker.line_moved(), "a producer without consumers hears nothing").await;
    let mut consumer = world.broker.consume(&line(0), 1).await.unwrap();
    next(&mut consumer).await.ack().await.unwrap();
    PACE.soon(world.broker.line_moved()).await;
}

/// A worker that drains takes nothing more and finishes what it has.
#[tokio::test]
async fn what_a_dropped_consumer_handed_out_stays_where_it_is() {
    let world = World::new().await;
    publish(&world, 0..3).await;
    let mut consumer = world.broker.consume(&line(0), 3).await.unwrap();
    let held = next(&mut consumer).await;
    drop(consumer);
    // What nobody had looked at goes to others at once; what is worked on does not.
    let mut other = world.broker.consume(&line(0), 3).await.unwrap();
    for _ in 0..2 {
        next(&mut other).await.ack().await.unwrap();
    }
    PACE.nothing(other.next(), "the first is still held").await;
    held.ack().await.unwrap();
    drop(other);
    assert_eq!(world.ready(&line(0)).await, 0);
}

/// Who waits for all its consumers at once is not woken by each of them for what one of them has.
#[tokio::test]
async fn consumers_of_one_taker_leave_each_other_what_they_have() {
    let world = World::new().await;
    let taker = Taker::default();
    let mut has = world.broker.consume_as(&taker, &line(0), 10).await.unwrap();
    publish(&world, 0..2).await;
    PACE.becomes(0, async || world.ready(&line(0)).await).await;
    let mut same = world.broker.consume_as(&taker, &line(0), 10).await.unwrap();
    PACE.nothing(same.next(), "they are the first one's").await;
    let mut other = world.broker.consume(&line(0), 10).await.unwrap();
    for consumer in [&mut other, &mut has] {
        let delivery = next(consumer).await;
        assert!(!delivery.redelivered);
        delivery.ack().await.unwrap();
    }
}

/// Consumers of one line share their buffers, also when one of them goes.
#[tokio::test]
async fn what_came_from_the_buffer_of_another_outlives_the_other() {
    let world = World::new().await;
    let mut stays = world.broker.consume(&line(0), 10).await.unwrap();
    let goes = world.broker.consume(&line(0), 10).await.unwrap();
    publish(&world, 0..10).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&mut stays).await);
    }
    assert!(held.iter().all(|delivery| !delivery.redelivered));
    drop(goes);
    PACE.nothing(stays.next(), "all are held").await;
    for delivery in held {
        delivery.ack().await.expect("its channel is there");
    }
    drop(stays);
    world.broker.close().await;
    let other = RabbitBroker::new(&options(&world.vhost().url)).unwrap();
    let mut consumer = other.consume(&line(0), 1).await.unwrap();
    PACE.nothing(consumer.next(), "all were acknowledged").await;
}
