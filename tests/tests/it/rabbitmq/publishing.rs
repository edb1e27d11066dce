//! Confirms and returned messages.

use std::sync::Arc;

use fleetline_shared::domain::PortError;
use fleetline_shared::ports::{Broker, Unpublished};
use fleetline_shared::rabbitmq::Outgoing;
use fleetline_shared::rabbitmq::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE};
use uuid::Uuid;

use super::world::{World, delete_queue, line, message};

fn outgoing(key: &str) -> Outgoing {
    Outgoing::new(JOBS_EXCHANGE, key, Uuid::now_v7().to_string(), b"{}".to_vec())
}

fn was_returned(answer: &Result<(), PortError>) -> bool {
    matches!(answer, Err(error) if error.to_string().contains("returned"))
}

/// lapin hands returned messages to whichever confirm comes next; the answers must be right all
/// the same, for every message of many concurrent bursts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_returned_message_is_an_error_and_no_other() {
    let world = World::new().await;
    let bursts: Vec<_> = (0..8)
        .map(|burst| {
            let publisher = world.broker.publisher();
            tokio::spawn(async move {
                let lost =
                    |number: usize| fastrand::Rng::with_seed((burst * 1_000 + number) as u64).u8(..) < 80;
                let key = |number| if lost(number) { "nobody".to_owned() } else { line(0) };
                let answers =
                    publisher.publish((0..1_000).map(|number| outgoing(&key(number))).collect()).await;
                for (number, answer) in answers.iter().enumerate() {
                    assert_eq!(was_returned(answer), lost(number), "{number} of {burst}: {answer:?}");
                    assert_eq!(answer.is_ok(), !lost(number), "{number} of {burst}: {answer:?}");
                }
                answers.iter().filter(|answer| answer.is_ok()).count()
            })
        })
        .collect();
    let mut arrived = 0;
    for burst in bursts {
        arrived += burst.await.unwrap();
    }
    assert_eq!(world.ready(&line(0)).await, arrived);
}

#[tokio::test]
async fn what_is_not_mandatory_may_vanish() {
    let world = World::new().await;
    let event = |mandatory| Outgoing {
        mandatory,
        ..Outgoing::new(EVENTS_EXCHANGE, "run.finished", "e-1".into(), vec![])
    };
    let publisher = world.broker.publisher();
    assert_eq!(publisher.publish(vec![event(false)]).await.len(), 1);
    let answers = publisher.publish(vec![event(false), event(true)]).await;
    assert!(answers[1].is_err(), "{answers:?}");
    // The two have the same exchange, key and id: neither can be told apart from the other.
    let vanished = Outgoing { message_id: "e-2".into(), ..event(false) };
    assert!(publisher.publish(vec![vanished]).await[0].is_ok());
}

#[tokio::test]
async fn a_name_that_amqp_cannot_hold_is_the_error_of_its_message_alone() {
    let world = World::new().await;
    let answers = world
        .broker
        .publisher()
        .publish(vec![outgoing(&line(0)), outgoing(&"x".repeat(256)), outgoing(&line(0))])
        .await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(PortError::Invalid { .. })), "{answers:?}");
}

#[tokio::test]
async fn a_deleted_line_is_declared_again_by_whoever_publishes() {
    let world = World::new().await;
    delete_queue(&world, &line(0)).await;
    let answers = world.broker.publish(vec![message(&line(0), 1), message(&line(1), 2)]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((world.ready(&line(0)).await, world.ready(&line(1)).await), (1, 1));
}

#[tokio::test]
async fn without_a_broker_a_publish_ends_in_time() {
    let mut options = super::world::options("amqp://guest:s3cret@127.0.0.1:1/%2f");
    options.confirm_timeout = std::time::Duration::from_millis(300);
    let broker = Arc::new(fleetline_shared::rabbitmq::RabbitBroker::new(&options).unwrap());
    let limit = std::time::Duration::from_secs(5);
    let answers = tokio::time::timeout(limit, broker.publish(vec![message("a", 1)])).await.expect("it ends");
    let Err(Unpublished { error: error @ PortError::Unavailable { .. }, may_be_there: false }) = &answers[0]
    else {
        panic!("{answers:?}")
    };
    assert!(error.to_string().contains("127.0.0.1:1") && !error.to_string().contains("s3cret"), "{error}");
}
