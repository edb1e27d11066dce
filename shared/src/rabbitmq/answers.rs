//! Answers to those who asked over the broker.
//!
//! Where an answer goes is for whoever asked to say, and some places cost the connection over which it goes: an
//! address of direct reply-to that another node gave out makes the broker (`RabbitMQ` 3.10) close it. So answers
//! have connections of their own, and those to such addresses go one by one over another one: each takes at most
//! itself down.

use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::options::RabbitOptions;
use super::outgoing::Outgoing;
use super::publisher::Publisher;
use crate::domain::PortError;
use crate::rules::Backoff;

/// What addresses of direct reply-to begin with.
const DIRECT: &str = "amq.rabbitmq.reply-to.";
/// Tries of an answer to a queue. Such a one breaks no connection, but may be on one that breaks.
const TRIES: u32 = 3;
/// Tries of one that may have broken the connection itself.
const DIRECT_TRIES: u32 = 2;
/// What could not be sent for this long is not tried again: whoever asked waits no longer, and others do.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait for a new connection for direct replies: whoever asks for answers that break it holds up
/// those of others for as long.
const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// Sends answers. Its connections are made for the first one.
pub(super) struct Answers {
    options: RabbitOptions,
    to_queues: OnceCell<Publisher>,
    directly: OnceCell<Publisher>,
    one_a_flight: Mutex<()>,
}

impl Answers {
    pub(super) fn new(options: &RabbitOptions) -> Self {
        Self {
            options: options.clone(),
            to_queues: OnceCell::new(),
            directly: OnceCell::new(),
            one_a_flight: Mutex::default(),
        }
    }

    /// Sends it, and once or twice more if it is unknown whether it arrived.
    pub(super) async fn send(&self, answer: Outgoing) -> Result<(), PortError> {
        if !answer.routing_key.starts_with(DIRECT) {
            let start = async || Publisher::start(&self.options, "answer");
            return patiently(self.to_queues.get_or_try_init(start).await?, answer, TRIES).await;
        }
        let _alone = self.one_a_flight.lock().await;
        let start = async || {
            let Backoff { base, cap } = self.options.reconnect;
            let reconnect = Backoff { base, cap: cap.min(RECONNECT_CAP) };
            Publisher::start(&RabbitOptions { reconnect, ..self.options.clone() }, "answer directly")
        };
        patiently(self.directly.get_or_try_init(start).await?, answer, DIRECT_TRIES).await
    }

    pub(super) async fn close(&self) {
        for publisher in [&self.to_queues, &self.directly].into_iter().filter_map(OnceCell::get) {
            publisher.link().close().await;
        }
    }
}

async fn patiently(publisher: &Publisher, answer: Outgoing, most: u32) -> Result<(), PortError> {
    let started = Instant::now();
    let mut sent = 1;
    loop {
        match publisher.publish(vec![answer.clone()]).await.remove(0) {
            Err(PortError::Unavailable { .. }) if sent < most && started.elapsed() < PATIENCE => sent += 1,
            answered => return answered,
        }
    }
}
