//! A broker that fails delays; it loses nothing and nobody hangs. One test, for one private broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fleetline_shared::ports::{Broker, Deliveries, Depth, Unpublished};
use fleetline_shared::rabbitmq::topology::SUBMIT_QUEUE;
use fleetline_shared::rabbitmq::{Outgoing, RabbitBroker};
use fleetline_tests::conformance::Pace;
use fleetline_tests::services::{PrivateServers, Server, Vhost};
use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::world::{World, line, message, options};

const PACE: Pace = Pace::REAL;
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// No publish takes longer, whatever happens.
const ANSWERED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_broker_delays_and_loses_nothing() {
    let servers = Arc::new(tokio::task::spawn_blocking(PrivateServers::start).await.unwrap());
    let vhost = Vhost::on(&servers.urls.rabbitmq, &servers.urls.management).await;
    let mut options = options(&vhost.url);
    options.confirm_timeout = CONFIRM_TIMEOUT;
    let world = World::on(vhost, options).await;
    under_an_alarm_publishes_end_and_acks_flow(&world, &servers).await;
    lost(&world, &servers, |servers| {
        servers.rabbitmqctl(&["close_all_connections", "a test"]);
    })
    .await;
    lost(&world, &servers, |servers| {
        servers.kill(Server::RabbitMq);
        servers.start_again(Server::RabbitMq);
    })
    .await;
}

async fn ctl(servers: &Arc<PrivateServers>, args: &'static [&'static str]) {
    let servers = Arc::clone(servers);
    tokio::task::spawn_blocking(move || servers.rabbitmqctl(args)).await.unwrap();
}

async fn under_an_alarm_publishes_end_and_acks_flow(world: &World, servers: &Arc<PrivateServers>) {
    let broker = &world.broker;
    let sent = broker.publish((0..20).map(|number| message(&line(0), number)).collect()).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let mut consumer = broker.consume(&line(0), 10).await.unwrap();
    let first = consumer.next().await.unwrap().unwrap();
    let submit = |id: &str| Outgoing::new("", SUBMIT_QUEUE, id.to_owned(), id.into());
    let sent = broker.publisher().publish(vec![submit("m-1"), submit("m-2")]).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let mut intake = broker.intake(SUBMIT_QUEUE, 10).await.unwrap();
    let mut requests = Vec::new();
    for _ in 0..2 {
        requests.push(PACE.soon(intake.next()).await.unwrap().unwrap());
    }
    ctl(servers, &["set_vm_memory_high_watermark", "0"]).await;
    // The first two are written to a blocked connection, one on each of its channels.
    for number in 0..4 {
        let publish = broker.publish(vec![message(&line(1), number)]);
        let answers = timeout(ANSWERED, publish).await.expect("it ends");
        let error = answers[0].as_ref().expect_err("the broker takes nothing").to_string();
        assert!(error.contains("memory or disk alarm"), "{error}");
        assert_eq!(error.contains("unknown whether"), number < 2, "what comes later is not sent: {error}");
    }
    // Many at a time are answered likewise.
    let burst = (0..2_000).map(|number| broker.publish(vec![message(&line(1), 100 + number)]));
    let answers = timeout(ANSWERED, join_all(burst)).await.expect("all end");
    let was_not_sent = |answer: &Result<(), Unpublished>| answer.as_ref().is_err_and(|why| !why.may_be_there);
    assert!(answers.iter().flatten().all(was_not_sent), "{:?}", answers.first());
    first.ack().await.unwrap();
    for _ in 2..20 {
        PACE.soon(consumer.next()).await.unwrap().unwrap().ack().await.unwrap();
    }
    a_blocked_connection_is_kept(world).await;
    // Given back it would come again at once, and count each time.
    let unreadable = PACE.soon(consumer.next()).await.unwrap().unwrap();
    let rejecting = tokio::spawn(unreadable.reject("unreadable".to_owned()));
    let drain = CancellationToken::new();
    let [refusing, drained] = [CancellationToken::new(), drain.clone()].map(|drain| {
        let request = requests.pop().expect("two of them");
        tokio::spawn(async move { request.reject("refused", &drain).await })
    });
    let depth = || async { broker.depth(&line(0)).await.unwrap() };
    PACE.becomes(Depth { ready: 0, unsettled: 1 }, depth).await;
    tokio::time::sleep(2 * CONFIRM_TIMEOUT).await;
    assert!(!rejecting.is_finished() && !refusing.is_finished() && !drained.is_finished(), "they are kept");
    drain.cancel();
    timeout(ANSWERED, drained).await.expect("a drain goes on").unwrap().expect_err("it was not rejected");
    let again = PACE.soon(intake.next()).await.unwrap().unwrap();
    assert!(again.redelivered);
    again.ack().await.unwrap();
    ctl(servers, &["set_vm_memory_high_watermark", "0.4"]).await;
    rejecting.await.unwrap().unwrap();
    refusing.await.unwrap().unwrap();
    PACE.becomes(Depth { ready: 0, unsettled: 0 }, depth).await;
    drop((consumer, intake));
    let reasons: BTreeSet<String> =
        world.dead_letters().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["refused", "unreadable"].map(str::to_owned).into());
    published(broker, &[9]).await;
    // What was given up on may land late; what nobody waited for any more was never sent.
    let mut landed = Vec::new();
    let mut rest = broker.consume(&line(1), 10).await.unwrap();
    while let Ok(Some(Ok(delivery))) = timeout(PACE.unit * 4, rest.next()).await {
        landed.push(String::from_utf8(delivery.body.clone()).unwrap());
        delivery.ack().await.unwrap();
    }
    landed.retain(|number| number != "200");
    landed.sort_unstable();
    assert_eq!(landed, ["0", "1", "9"]);
}

/// Under an alarm, also if what it was asked is no publish: another one would be blocked as well.
async fn a_blocked_connection_is_kept(world: &World) {
    let mut options = options(&world.vhost().url);
    (options.connect_timeout, options.confirm_timeout) = (CONFIRM_TIMEOUT / 2, CONFIRM_TIMEOUT);
    let broker = RabbitBroker::new(&options).unwrap();
    let publish = async || {
        let error =
            broker.publish(vec![message(&line(1), 200)]).await.remove(0).expect_err("it takes nothing");
        error.to_string()
    };
    // From the first message on that it got to see.
    while !publish().await.contains("unknown whether") {}
    let error = publish().await;
    assert!(error.contains("memory or disk alarm"), "the other channel cannot be opened: {error}");
}

/// Publishes to line 1 until each is confirmed.
async fn published(broker: &RabbitBroker, numbers: &[u32]) {
    let mut left = numbers.to_vec();
    while !left.is_empty() {
        let messages = left.iter().map(|number| message(&line(1), *number)).collect();
        let answers = timeout(ANSWERED, broker.publish(messages)).await.expect("each publish is answered");
        let mut answers = answers.iter();
        left.retain(|_| answers.next().expect("one answer each").is_err());
    }
}

/// Publishes and consumes 2,000 messages, with a fault in the middle.
async fn lost(world: &World, servers: &Arc<PrivateServers>, fault: fn(&PrivateServers)) {
    const MESSAGES: u32 = 2_000;
    let (acked, mut seen) = mpsc::unbounded_channel();
    let consumer = tokio::spawn(consume(Arc::clone(&world.broker), acked));
    let (sent, half) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let publishers: Vec<_> = (0..4)
        .map(|part| {
            let (broker, sent, half) = (Arc::clone(&world.broker), Arc::clone(&sent), Arc::clone(&half));
            tokio::spawn(async move {
                let numbers: Vec<u32> = (0..MESSAGES).filter(|number| number % 4 == part).collect();
                for batch in numbers.chunks(5) {
                    published(&broker, batch).await;
                    if sent.fetch_add(batch.len(), Ordering::SeqCst) > MESSAGES as usize / 8 {
                        half.notify_one();
                    }
                }
            })
        })
        .collect();
    timeout(Duration::from_secs(30), half.notified()).await.expect("publishing goes on");
    let servers = Arc::clone(servers);
    tokio::task::spawn_blocking(move || fault(&servers)).await.unwrap();
    for publisher in publishers {
        timeout(Duration::from_mins(1), publisher).await.expect("it goes on after the fault").unwrap();
    }
    let mut left: BTreeSet<u32> = (0..MESSAGES).collect();
    while !left.is_empty() {
        let number = timeout(Duration::from_secs(30), seen.recv()).await;
        let number = number.unwrap_or_else(|_| panic!("{} never came, {:?}", left.len(), left.first()));
        left.remove(&number.expect("the consumer goes on"));
    }
    consumer.abort();
    let _ = consumer.await;
    // Messages published twice may be there; they are nobody's loss.
    let mut rest = world.broker.consume(&line(1), 100).await.unwrap();
    while let Ok(Some(Ok(delivery))) = timeout(PACE.unit * 4, rest.next()).await {
        delivery.ack().await.unwrap();
    }
}

/// Consumes and acknowledges for ever; starts another consumer whenever one is gone.
async fn consume(broker: Arc<RabbitBroker>, acked: mpsc::UnboundedSender<u32>) {
    loop {
        let started: Result<Box<dyn Deliveries>, _> = broker.consume(&line(1), 50).await;
        let Ok(mut consumer) = started else { continue };
        while let Some(Ok(delivery)) = consumer.next().await {
            let number = std::str::from_utf8(&delivery.body).unwrap().parse().unwrap();
            // An acknowledgement that fails: it comes again.
            if delivery.ack().await.is_ok() {
                let _ = acked.send(number);
            }
        }
    }
}
