//! The intake, replies, and dead letters.

use std::collections::BTreeSet;

use fleetline_shared::ports::Broker;
use fleetline_shared::rabbitmq::topology::{CRASHED_QUEUE, REJECTED_QUEUE, SUBMIT_QUEUE};
use fleetline_shared::rabbitmq::{IntakeConsumer, IntakeDelivery, Outgoing};
use fleetline_tests::conformance::Pace;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::world::{DELIVERY_LIMIT, World, line, message, reason};

const PACE: Pace = Pace::REAL;

async fn next(consumer: &mut IntakeConsumer) -> IntakeDelivery {
    PACE.soon(consumer.next()).await.expect("the consumer is there").expect("the broker is there")
}

/// A service in another language: it submits with `reply_to`, and reads the answer.
#[tokio::test]
async fn a_request_arrives_with_its_properties_and_its_answer_finds_back() {
    let world = World::new().await;
    world.broker.connected().await.unwrap();
    let mut intake = world.broker.intake(SUBMIT_QUEUE, 5).await.unwrap();
    let service = Connection::connect(&world.vhost().url, ConnectionProperties::default()).await.unwrap();
    let channel = service.create_channel().await.unwrap();
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let replies = channel.queue_declare("".into(), exclusive, FieldTable::default()).await.unwrap();
    let properties = BasicProperties::default()
        .with_reply_to(replies.name().clone())
        .with_correlation_id("c-1".into())
        .with_message_id("m-1".into())
        .with_content_type("application/json".into());
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), SUBMIT_QUEUE.into(), options, b"{}", properties).await.unwrap();

    let request = next(&mut intake).await;
    assert_eq!((request.body.as_slice(), request.redelivered), (&b"{}"[..], false));
    assert_eq!(request.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(request.message_id.as_deref(), Some("m-1"));
    assert_eq!(request.content_type.as_deref(), Some("application/json"));
    assert_eq!((&request.death_reason, request.death_count), (&None, None));
    let to = request.reply_to.clone().expect("it asked for an answer");
    let mut answer = Outgoing::new("", &to, "a-1".into(), b"accepted".to_vec());
    answer.correlation_id = request.correlation_id.clone();
    world.broker.publisher().publish(vec![answer]).await.remove(0).unwrap();
    request.ack().await.unwrap();

    let got = PACE.soon(async {
        loop {
            if let Some(got) =
                channel.basic_get(replies.name().clone(), BasicGetOptions::default()).await.unwrap()
            {
                return got;
            }
            PACE.pass(1).await;
        }
    });
    let got = got.await;
    assert_eq!(got.data, b"accepted");
    assert_eq!(got.properties.correlation_id().as_ref().map(ToString::to_string).as_deref(), Some("c-1"));
    service.close(200, "done".into()).await.unwrap();
    // Whoever asked is gone: the answer is returned, and that is no trouble of ours.
    let gone = Outgoing::new("", &to, "a-2".into(), b"too late".to_vec());
    assert!(world.broker.publisher().publish(vec![gone]).await.remove(0).is_err());
}

#[tokio::test]
async fn a_rejected_request_is_a_dead_letter_with_its_reason() {
    let world = World::new().await;
    let submit = |body: &str| Outgoing::new("", SUBMIT_QUEUE, body.to_owned(), body.into());
    world.broker.publisher().publish(vec![submit("bad"), submit("good")]).await.remove(0).unwrap();
    let mut intake = world.broker.intake(SUBMIT_QUEUE, 1).await.unwrap();
    let long = "no JSON: ".to_owned() + &"é".repeat(5_000);
    next(&mut intake).await.reject(&long, &CancellationToken::new()).await.unwrap();
    next(&mut intake).await.ack().await.unwrap();
    let mut dead = world.broker.intake(REJECTED_QUEUE, 1).await.unwrap();
    let letter = next(&mut dead).await;
    assert_eq!((letter.body.as_slice(), letter.message_id.as_deref()), (&b"bad"[..], Some("bad")));
    assert_eq!(letter.header("x-fleetline-queue").as_deref(), Some(SUBMIT_QUEUE));
    let reason = reason(&letter);
    assert!(long.starts_with(&reason) && reason.len() > 4_000, "{} bytes", reason.len());
    letter.ack().await.unwrap();
    PACE.nothing(dead.next(), "the other was good").await;
}

/// What stands in for bytes that are no text.
const NO_TEXT: &[u8] = b"!no text!";

/// A way to the broker on which these bytes become such. Ends with the connection.
async fn garbling(url: &str) -> String {
    let to = url.split('@').next_back().and_then(|rest| rest.split('/').next()).expect("a host").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let garbling = url.replacen(&to, &listener.local_addr().unwrap().to_string(), 1);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_broker, mut to_broker) = TcpStream::connect(to).await.unwrap().into_split();
        tokio::spawn(async move { copy(&mut from_broker, &mut to_client).await });
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            for place in 0..length.saturating_sub(NO_TEXT.len() - 1) {
                if bytes[place..].starts_with(NO_TEXT) {
                    bytes[place..place + NO_TEXT.len()].fill(0xff);
                }
            }
            to_broker.write_all(&bytes[..length]).await.unwrap();
        }
    });
    garbling
}

/// AMQP's short texts are UTF-8, but the broker takes others, and the client library ends the connection on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_takes_no_other_with_it() {
    const GOOD: usize = 20;
    let world = World::new().await;
    let broker = &world.broker;
    let mut elsewhere = broker.consume(&line(0), 1).await.unwrap();
    let url = garbling(&world.vhost().url).await;
    let service = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = service.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for number in 0..=GOOD {
        let text = if number == 1 { std::str::from_utf8(NO_TEXT).unwrap() } else { "text" };
        let properties = BasicProperties::default().with_correlation_id(text.into());
        let options = BasicPublishOptions::default();
        let body = number.to_string();
        let sent =
            channel.basic_publish("".into(), SUBMIT_QUEUE.into(), options, body.as_bytes(), properties);
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }
    let mut taken = BTreeSet::new();
    while taken.len() < GOOD {
        let Ok(mut intake) = broker.intake(SUBMIT_QUEUE, 10).await else { continue };
        while taken.len() < GOOD
            && let Some(Ok(request)) = PACE.soon(intake.next()).await
        {
            let body = request.body.clone();
            if request.ack().await.is_ok() {
                taken.insert(String::from_utf8(body).unwrap());
            }
        }
    }
    assert!(!taken.contains("1"));
    // Which cannot be read there either.
    let dead = async || {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        channel
            .queue_declare(REJECTED_QUEUE.into(), passive, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    };
    PACE.becomes(1, dead).await;
    broker.publish(vec![message(&line(0), 7)]).await.remove(0).unwrap();
    let other = PACE.soon(elsewhere.next()).await.expect("its connection did not break").unwrap();
    assert_eq!((other.body.as_slice(), other.redelivered), (&b"7"[..], false));
    other.ack().await.unwrap();
}

#[tokio::test]
async fn a_message_that_kills_its_workers_is_a_crash_loop() {
    let world = World::new().await;
    world.broker.publish(vec![message(&line(0), 7)]).await.remove(0).unwrap();
    let mut consumer = world.broker.consume(&line(0), 1).await.unwrap();
    for _ in 0..=DELIVERY_LIMIT {
        drop(PACE.soon(consumer.next()).await.unwrap().unwrap());
    }
    let mut crashed = world.broker.intake(CRASHED_QUEUE, 1).await.unwrap();
    let letter = next(&mut crashed).await;
    assert_eq!(letter.body, b"7");
    assert_eq!(letter.death_reason.as_deref(), Some("delivery_limit"));
    assert_eq!(letter.death_count, Some(1));
    assert_eq!(letter.death_queue.as_deref(), Some("fleetline.jobs.line-0"));
    letter.ack().await.unwrap();
    PACE.nothing(crashed.next(), "it died once").await;
}
