//! What the broker holds, asked with passive declarations: they count exactly, where the management
//! API shows what was true some seconds ago.

use fleetline_shared::rabbitmq::topology::{CRASHED_QUEUE, JOBS_EXCHANGE, REJECTED_QUEUE};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// The kinds that the fleets of these tests work on.
const KINDS: [&str; 2] = ["node.extract", "log.analyze"];

/// An observer's connection to the broker.
pub struct BrokerView {
    connection: Connection,
}

impl BrokerView {
    /// Opens it; `None`: the broker does not answer.
    pub async fn open(url: &str) -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connection = Connection::connect(url, ConnectionProperties::default()).await.ok()?;
        Some(Self { connection })
    }

    /// Messages that wait in a queue; `None`: there is no such queue, or no answer.
    pub async fn waiting(&self, queue: &str) -> Option<u32> {
        // A refusal closes its channel: one for each question.
        let channel = self.connection.create_channel().await.ok()?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
        let _ = channel.close(200, "done".into()).await;
        Some(declared.message_count())
    }

    /// Publishes a message to a queue, as any client could.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        let channel = self.connection.create_channel().await.expect("a channel");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let sent = channel.basic_publish(exchange.into(), key.into(), options, body, persistent).await;
        sent.expect("the broker takes it").await.expect("the broker takes it");
        channel.close(200, "done".into()).await.expect("a channel");
    }

    /// What waits on each line.
    pub async fn lines(&self) -> Vec<(String, u32)> {
        let mut lines = Vec::new();
        for kind in KINDS {
            let queue = format!("{JOBS_EXCHANGE}.{kind}");
            let waiting = self.waiting(&queue).await.unwrap_or(0);
            lines.push((queue, waiting));
        }
        lines
    }

    /// Messages that nobody could work with, and those of crash loops that are not recorded yet.
    pub async fn dead_letters(&self) -> u32 {
        self.waiting(REJECTED_QUEUE).await.unwrap_or(0) + self.waiting(CRASHED_QUEUE).await.unwrap_or(0)
    }

    /// Deletes a queue with all it holds.
    pub async fn delete_queue(&self, queue: &str) {
        let channel = self.connection.create_channel().await.expect("a channel");
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("the queue is there");
        let _ = channel.close(200, "done".into()).await;
    }

    /// Copies all messages for a kind's line from now on; the line gets them as before.
    pub async fn tap(&self, kind: &str) -> Tap {
        let channel = self.connection.create_channel().await.expect("a channel");
        let own =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await.expect("a queue");
        let name = queue.name().clone();
        let bound = channel.queue_bind(
            name.clone(),
            JOBS_EXCHANGE.into(),
            kind.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.expect("the exchange is there");
        Tap { channel, queue: name }
    }
}

/// A copy of what goes to a line.
pub struct Tap {
    channel: Channel,
    queue: ShortString,
}

impl Tap {
    /// The bodies that came since the last look.
    pub async fn bodies(&self) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Ok(Some(message)) = self.channel.basic_get(self.queue.clone(), options).await {
            bodies.push(message.delivery.data);
        }
        bodies
    }

    /// No copies from now on.
    pub async fn close(self) {
        let _ = self.channel.queue_delete(self.queue, QueueDeleteOptions::default()).await;
        let _ = self.channel.close(200, "done".into()).await;
    }
}
