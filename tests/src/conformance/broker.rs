//! What every broker must do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Broker, Deliveries, Delivery, Depth, Message};

use super::Pace;

/// Makes a test of each check of this module.
#[macro_export]
macro_rules! broker_conformance {
    (#[$test:meta] $fixture:expr) => {
        $crate::conformance_tests!(
            broker,
            #[$test]
            $fixture,
            [
                what_is_published_is_delivered_once,
                one_consumer_gets_messages_in_order,
                prefetch_bounds_what_is_unsettled,
                consumers_are_counted,
                an_acknowledged_message_is_gone,
                a_dropped_delivery_comes_back_first_and_marked,
                the_delivery_of_a_task_that_panicked_comes_back,
                a_message_that_always_comes_back_is_a_dead_letter,
                a_rejected_message_is_a_dead_letter,
                a_consumer_that_goes_away_takes_nothing_with_it,
                what_was_handed_out_outlives_its_consumer,
                a_given_up_wait_loses_nothing,
                consumers_share_a_line,
                lines_are_apart,
                an_unknown_line_swallows_nothing,
                depth_counts_ready_and_unsettled,
                a_waiting_consumer_gets_what_comes_later,
                many_messages_are_settled_exactly_once,
            ]
        );
    };
}

/// A broker to check.
#[async_trait]
pub trait BrokerFixture: Send + Sync {
    /// How its time goes by.
    fn pace(&self) -> Pace;

    /// The broker.
    fn broker(&self) -> Arc<dyn Broker>;

    /// Name of a line that is set up and empty; another for each number.
    fn line(&self, number: u32) -> String;

    /// How often it hands a message over again.
    fn delivery_limit(&self) -> u32;

    /// Bodies and reasons of the dead letters.
    async fn dead_letters(&self) -> Vec<(Vec<u8>, String)>;
}

/// A fixture's broker and first line, in short words.
struct Bench {
    broker: Arc<dyn Broker>,
    line: String,
    pace: Pace,
}

impl Bench {
    fn new(fixture: &dyn BrokerFixture) -> Self {
        Self { broker: fixture.broker(), line: fixture.line(0), pace: fixture.pace() }
    }

    async fn publish(&self, numbers: impl IntoIterator<Item = u32>) {
        let messages: Vec<_> = numbers.into_iter().map(|number| message(&self.line, number)).collect();
        for answer in self.broker.publish(messages).await {
            answer.expect("the broker takes it");
        }
    }

    async fn consumer(&self, prefetch: usize) -> Box<dyn Deliveries> {
        self.broker.consume(&self.line, prefetch).await.expect("the line is there")
    }

    async fn next(&self, consumer: &mut Box<dyn Deliveries>) -> Delivery {
        let next = self.pace.soon(consumer.next()).await;
        next.expect("the consumer is there").expect("the broker is there")
    }

    async fn depth_becomes(&self, ready: usize, unsettled: usize) {
        let depth = || async { self.broker.depth(&self.line).await.expect("the line is there") };
        self.pace.becomes(Depth { ready, unsettled }, depth).await;
    }
}

fn message(line: &str, number: u32) -> Message {
    Message { line: line.to_owned(), id: JobId::new(), body: number.to_string().into_bytes() }
}

fn number(delivery: &Delivery) -> u32 {
    std::str::from_utf8(&delivery.body).unwrap().parse().unwrap()
}

/// Bytes arrive as they were sent, one time.
pub async fn what_is_published_is_delivered_once(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    let body: Vec<u8> = (0..=255).collect();
    let sent = Message { line: bench.line.clone(), id: JobId::new(), body: body.clone() };
    bench.broker.publish(vec![sent]).await.remove(0).unwrap();
    let mut consumer = bench.consumer(10).await;
    let delivery = bench.next(&mut consumer).await;
    assert_eq!(delivery.body, body);
    assert!(!delivery.redelivered);
    bench.pace.nothing(consumer.next(), "there was one message").await;
    delivery.ack().await.unwrap();
}

/// First in, first out, over publishes and within one.
pub async fn one_consumer_gets_messages_in_order(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish(0..20).await;
    bench.publish(20..40).await;
    let mut consumer = bench.consumer(3).await;
    for expected in 0..40 {
        let delivery = bench.next(&mut consumer).await;
        assert_eq!(number(&delivery), expected);
        delivery.ack().await.unwrap();
    }
}

/// Whoever takes from a line is counted, from its first look on until it is gone.
pub async fn consumers_are_counted(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    let consumers = || async { bench.broker.consumers(&bench.line).await.expect("the broker is there") };
    assert_eq!(consumers().await, 0);
    bench.publish([1]).await;
    let mut first = bench.consumer(1).await;
    bench.next(&mut first).await.ack().await.unwrap();
    bench.pace.becomes(1, consumers).await;
    let second = bench.consumer(1).await;
    bench.pace.becomes(2, consumers).await;
    drop(first);
    bench.pace.becomes(1, consumers).await;
    drop(second);
    bench.pace.becomes(0, consumers).await;
}

/// No more than `prefetch` are out; each settlement lets one more come. None is refused.
pub async fn prefetch_bounds_what_is_unsettled(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    assert!(bench.broker.consume(&bench.line, 0).await.is_err(), "nothing would ever come");
    bench.publish(0..5).await;
    let mut consumer = bench.consumer(2).await;
    let first = bench.next(&mut consumer).await;
    let second = bench.next(&mut consumer).await;
    bench.pace.nothing(consumer.next(), "two are unsettled").await;
    first.ack().await.unwrap();
    let third = bench.next(&mut consumer).await;
    bench.pace.nothing(consumer.next(), "two are unsettled").await;
    second.reject("no".into()).await.unwrap();
    let fourth = bench.next(&mut consumer).await;
    drop(third);
    assert_eq!(number(&bench.next(&mut consumer).await), 2, "what came back");
    fourth.ack().await.unwrap();
}

/// It comes to no consumer again.
pub async fn an_acknowledged_message_is_gone(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish([1]).await;
    let mut consumer = bench.consumer(10).await;
    bench.next(&mut consumer).await.ack().await.unwrap();
    bench.depth_becomes(0, 0).await;
    drop(consumer);
    let mut other = bench.consumer(10).await;
    bench.pace.nothing(other.next(), "it was acknowledged").await;
}

/// Dropped without a settlement, it is handed over again before what is behind it.
pub async fn a_dropped_delivery_comes_back_first_and_marked(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish(0..4).await;
    let mut consumer = bench.consumer(2).await;
    let first = bench.next(&mut consumer).await;
    let second = bench.next(&mut consumer).await;
    drop(second);
    drop(first);
    // What is out at the same time may come back in any order, but before the others.
    let mut back = Vec::new();
    for _ in 0..2 {
        let delivery = bench.next(&mut consumer).await;
        assert!(delivery.redelivered, "{}", number(&delivery));
        back.push(number(&delivery));
        delivery.ack().await.unwrap();
    }
    back.sort_unstable();
    assert_eq!(back, [0, 1]);
    let third = bench.next(&mut consumer).await;
    assert!(!third.redelivered && number(&third) == 2);
    third.ack().await.unwrap();
}

/// A panic settles nothing.
pub async fn the_delivery_of_a_task_that_panicked_comes_back(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish([7]).await;
    let mut consumer = bench.consumer(1).await;
    let delivery = bench.next(&mut consumer).await;
    let task =
        tokio::spawn(async move { panic!("the handler of {} broke, as it should", number(&delivery)) });
    assert!(task.await.unwrap_err().is_panic());
    let again = bench.next(&mut consumer).await;
    assert!(again.redelivered && number(&again) == 7);
    again.ack().await.unwrap();
}

/// It stops after the delivery limit, with a reason, and holds up nothing behind it. Until then each
/// delivery is known to come after the one before.
pub async fn a_message_that_always_comes_back_is_a_dead_letter(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish([1, 2]).await;
    let mut consumer = bench.consumer(1).await;
    for hand_over in 0..=fixture.delivery_limit() {
        let delivery = bench.next(&mut consumer).await;
        assert_eq!((number(&delivery), delivery.redelivered), (1, hand_over > 0));
        assert_eq!(delivery.returns, hand_over);
    }
    let next = bench.next(&mut consumer).await;
    assert_eq!(number(&next), 2);
    next.ack().await.unwrap();
    bench.depth_becomes(0, 0).await;
    bench.pace.becomes(vec![b"1".to_vec()], || dead_bodies(fixture)).await;
    assert!(!fixture.dead_letters().await[0].1.is_empty(), "a reason is given");
}

async fn dead_bodies(fixture: &dyn BrokerFixture) -> Vec<Vec<u8>> {
    fixture.dead_letters().await.into_iter().map(|(body, _)| body).collect()
}

/// It is kept with its reason and not delivered again.
pub async fn a_rejected_message_is_a_dead_letter(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish([1, 2]).await;
    let mut consumer = bench.consumer(1).await;
    bench.next(&mut consumer).await.reject("it is no envelope".into()).await.unwrap();
    let next = bench.next(&mut consumer).await;
    assert_eq!(number(&next), 2);
    next.ack().await.unwrap();
    let expected = vec![(b"1".to_vec(), "it is no envelope".to_owned())];
    bench.pace.becomes(expected, || fixture.dead_letters()).await;
}

/// What it had not settled or not yet looked at goes to others.
pub async fn a_consumer_that_goes_away_takes_nothing_with_it(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish(0..10).await;
    let mut consumer = bench.consumer(5).await;
    let unsettled = bench.next(&mut consumer).await;
    drop((unsettled, consumer));
    let mut other = bench.consumer(10).await;
    let mut seen = Vec::new();
    for _ in 0..10 {
        let delivery = bench.next(&mut other).await;
        seen.push(number(&delivery));
        delivery.ack().await.unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

/// A worker that drains stops to take, and finishes what it has begun: nobody else may get that.
/// Each of them can still be settled in any way, or dropped and so given back.
pub async fn what_was_handed_out_outlives_its_consumer(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.publish(0..5).await;
    let mut consumer = bench.consumer(5).await;
    let done = bench.next(&mut consumer).await;
    let unreadable = bench.next(&mut consumer).await;
    let given_up = bench.next(&mut consumer).await;
    drop(consumer);
    let mut other = bench.consumer(10).await;
    for expected in 3..5 {
        let delivery = bench.next(&mut other).await;
        assert_eq!(number(&delivery), expected);
        delivery.ack().await.unwrap();
    }
    bench.pace.nothing(other.next(), "the first three are under way").await;
    done.ack().await.unwrap();
    unreadable.reject("it is no envelope".into()).await.unwrap();
    drop(given_up);
    let back = bench.next(&mut other).await;
    assert!(back.redelivered && number(&back) == 2, "{}", number(&back));
    back.ack().await.unwrap();
    bench.pace.nothing(other.next(), "two are settled").await;
    drop(other);
    bench.depth_becomes(0, 0).await;
}

/// Dropping the future of `next` drops no message.
pub async fn a_given_up_wait_loses_nothing(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    let mut consumer = bench.consumer(1).await;
    let mut other = bench.consumer(1).await;
    for number in 0..5 {
        bench.pace.nothing(consumer.next(), "the line is empty").await;
        bench.pace.nothing(other.next(), "the line is empty").await;
        bench.publish([number]).await;
        let delivery = bench.next(&mut consumer).await;
        assert!(!delivery.redelivered);
        delivery.ack().await.unwrap();
    }
}

/// Each message goes to one of them, and each of them gets some.
pub async fn consumers_share_a_line(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    let (mut left, mut right) = (bench.consumer(2).await, bench.consumer(2).await);
    bench.publish(0..4).await;
    let mut seen = Vec::new();
    for consumer in [&mut left, &mut right] {
        for _ in 0..2 {
            let delivery = bench.next(consumer).await;
            seen.push(number(&delivery));
            delivery.ack().await.unwrap();
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3]);
}

/// A consumer of one line gets nothing of another.
pub async fn lines_are_apart(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    let other = Bench { line: fixture.line(1), ..Bench::new(fixture) };
    let mixed = vec![message(&bench.line, 1), message(&other.line, 2), message(&bench.line, 3)];
    for answer in bench.broker.publish(mixed).await {
        answer.unwrap();
    }
    other.depth_becomes(1, 0).await;
    let mut consumer = other.consumer(5).await;
    let delivery = other.next(&mut consumer).await;
    assert_eq!(number(&delivery), 2);
    other.pace.nothing(consumer.next(), "the others are on another line").await;
    delivery.ack().await.unwrap();
}

/// Either publishing to it is an error, or the message waits for a consumer.
pub async fn an_unknown_line_swallows_nothing(fixture: &dyn BrokerFixture) {
    let bench = Bench { line: format!("{}.nobody-knows-it", fixture.line(0)), ..Bench::new(fixture) };
    let known = fixture.line(0);
    let answers = bench.broker.publish(vec![message(&bench.line, 1), message(&known, 2)]).await;
    assert!(answers[1].is_ok(), "{answers:?}");
    if answers[0].is_ok() {
        let mut consumer = bench.consumer(1).await;
        let delivery = bench.next(&mut consumer).await;
        assert_eq!(number(&delivery), 1);
        delivery.ack().await.unwrap();
    }
    let known = Bench { line: known, ..bench };
    let mut consumer = known.consumer(1).await;
    assert_eq!(number(&known.next(&mut consumer).await), 2);
}

/// Ready is what nobody has; unsettled is what somebody has.
pub async fn depth_counts_ready_and_unsettled(fixture: &dyn BrokerFixture) {
    let bench = Bench::new(fixture);
    bench.depth_becomes(0, 0).await;
    bench.publish(0..3).await;
    bench.depth_becomes(3, 0).await;
    let mut consumer = bench.consumer(1).await;
    let delivery = bench.next(&mut consumer).await;
    bench.depth_becomes(2, 1).await;
    drop((delivery, consumer));
    bench.depth_becomes(3, 0).await;
    let mut consumer = bench.consumer(1).await;
    bench.next(&mut consumer).await.ack().await.unwrap();
    bench.next(&mut consumer).await.reject("no".into()).await.unwrap();
    drop(consumer);
    bench.depth_becomes(1, 0).await;
}

/// No wake-up is lost, however many wait.
pub async fn a_waiting_consumer_gets_what_comes_later(fixture: &dyn BrokerFixture) {
    let bench = Arc::new(Bench::new(fixture));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let mut consumer = bench.consumer(1).await;
                let delivery = bench.next(&mut consumer).await;
                let number = number(&delivery);
                delivery.ack().await.unwrap();
                number
            })
        })
        .collect();
    bench.pace.pass(1).await;
    bench.publish(0..3).await;
    let mut seen = Vec::new();
    for task in waiting {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}

/// Thousands of messages, many consumers, and deliveries that are dropped now and then.
pub async fn many_messages_are_settled_exactly_once(fixture: &dyn BrokerFixture) {
    const MESSAGES: u32 = 5_000;
    const CONSUMERS: u32 = 16;
    let bench = Arc::new(Bench::new(fixture));
    let settled: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
    let left = Arc::new(AtomicU32::new(MESSAGES));
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| tokio::spawn(settle_all(Arc::clone(&bench), Arc::clone(&settled), Arc::clone(&left))))
        .collect();
    for part in 0..10 {
        bench.publish((part * MESSAGES / 10)..((part + 1) * MESSAGES / 10)).await;
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    bench.depth_becomes(0, 0).await;
    let settled = settled.lock().unwrap();
    assert_eq!(settled.len(), MESSAGES as usize);
    assert!(settled.values().all(|times| *times == 1));
}

async fn settle_all(bench: Arc<Bench>, settled: Arc<Mutex<BTreeMap<u32, u32>>>, left: Arc<AtomicU32>) {
    let mut consumer = bench.consumer(5).await;
    while left.load(Ordering::SeqCst) > 0 {
        // The last messages may go to others: look again whether there are any.
        let Ok(next) = tokio::time::timeout(bench.pace.unit, consumer.next()).await else { continue };
        let delivery = next.unwrap().unwrap();
        let number = number(&delivery);
        if number.is_multiple_of(7) && !delivery.redelivered {
            continue;
        }
        tokio::task::yield_now().await;
        delivery.ack().await.unwrap();
        *settled.lock().unwrap().entry(number).or_default() += 1;
        left.fetch_sub(1, Ordering::SeqCst);
    }
}
