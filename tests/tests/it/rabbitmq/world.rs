//! A virtual host with Fleetline's topology, and what tests do with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{Broker, Message};
use fleetline_shared::rabbitmq::topology::{self, Limits, Management, Topology};
use fleetline_shared::rabbitmq::{IntakeDelivery, RabbitBroker, RabbitOptions};
use fleetline_tests::services::Vhost;
use tokio::runtime::Builder;
use tokio::time::timeout;

pub(super) const DELIVERY_LIMIT: u32 = 3;

/// A broker on a virtual host of its own, which goes when this is dropped.
pub(super) struct World {
    vhost: Option<Vhost>,
    pub(super) broker: Arc<RabbitBroker>,
    dead: Mutex<Vec<(Vec<u8>, String)>>,
}

impl World {
    pub(super) async fn new() -> Self {
        let vhost = Vhost::new().await;
        let options = options(&vhost.url);
        Self::on(vhost, options).await
    }

    /// On this virtual host, with these options.
    pub(super) async fn on(vhost: Vhost, options: RabbitOptions) -> Self {
        let world = Topology { kinds: vec![line(0), line(1)], limits: limits() };
        topology::apply(&options, &management(&vhost), &world).await.expect("the topology is applied");
        let broker = Arc::new(RabbitBroker::new(&options).expect("the URL is right"));
        Self { vhost: Some(vhost), broker, dead: Mutex::default() }
    }

    pub(super) fn vhost(&self) -> &Vhost {
        self.vhost.as_ref().expect("it is there until the drop")
    }

    /// How many messages of a line nobody has, once the broker's answer is steady.
    pub(super) async fn ready(&self, line: &str) -> usize {
        let mut last = usize::MAX;
        loop {
            let now = self.broker.depth(line).await.expect("the broker is there").ready;
            if now == last {
                return now;
            }
            last = now;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Bodies and reasons of all dead letters so far, of rejected messages and of crash loops.
    pub(super) async fn dead_letters(&self) -> Vec<(Vec<u8>, String)> {
        for queue in [topology::REJECTED_QUEUE, topology::CRASHED_QUEUE] {
            let mut consumer = self.broker.intake(queue, 10).await.expect("the queue is there");
            while let Ok(next) = timeout(Duration::from_millis(100), consumer.next()).await {
                let letter = next.expect("the consumer is there").expect("the broker is there");
                let reason = reason(&letter);
                self.dead.lock().unwrap().push((letter.body.clone(), reason));
                letter.ack().await.expect("the broker is there");
            }
        }
        self.dead.lock().unwrap().clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(vhost) = self.vhost.take() else { return };
        let removing = move || {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                vhost.remove().await;
                std::io::Result::Ok(())
            })
        };
        let _ = std::thread::spawn(removing).join();
    }
}

pub(super) fn reason(letter: &IntakeDelivery) -> String {
    let given = letter.header(topology::REASON_HEADER);
    given.or_else(|| letter.death_reason.clone()).unwrap_or_default()
}

pub(super) fn options(url: &str) -> RabbitOptions {
    RabbitOptions::new(url, "worker", "test")
}

pub(super) fn management(vhost: &Vhost) -> Management {
    Management::new(vhost.management.as_str(), None).expect("an HTTP client")
}

pub(super) fn limits() -> Limits {
    Limits { delivery_limit: DELIVERY_LIMIT, submit_delivery_limit: DELIVERY_LIMIT, ..Limits::default() }
}

pub(super) fn line(number: u32) -> String {
    format!("line-{number}")
}

pub(super) fn message(line: &str, number: u32) -> Message {
    Message { line: line.to_owned(), id: JobId::new(), body: number.to_string().into_bytes() }
}

/// A request to the management API; panics if it is refused.
pub(super) async fn manage(vhost: &Vhost, method: reqwest::Method, path: &str, body: serde_json::Value) {
    let url = format!("{}/api/{path}", vhost.management);
    let answer = reqwest::Client::new().request(method, url).json(&body).send().await.expect("it answers");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

pub(super) async fn delete_queue(world: &World, line: &str) {
    let path = format!("queues/{}/fleetline.jobs.{line}", world.vhost().name);
    manage(world.vhost(), reqwest::Method::DELETE, &path, serde_json::Value::Null).await;
}
