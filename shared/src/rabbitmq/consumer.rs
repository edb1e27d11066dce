//! A consumer of one queue on a channel of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;

use super::error::{answered, invalid, unavailable};
use super::held::{Held, Holding};
use super::link::Link;
use super::outgoing::short;
use super::settle::{Command, Settler, Unsettled};
use super::tags::Tags;
use super::topology::{Queue, declare};
use crate::domain::PortError;

/// What a consumer takes from, and how.
pub(super) struct Wish<'a> {
    pub(super) queue: &'a Queue,
    pub(super) tag: String,
    pub(super) prefetch: usize,
    /// Told when the consumer's channel is closed: it is dropped then.
    pub(super) open: mpsc::Sender<()>,
}

/// Deliveries of one queue. Dropped, it gives back what it has buffered and closes its channel.
pub(super) struct Consumer {
    stream: Option<lapin::Consumer>,
    commands: mpsc::UnboundedSender<Command>,
    count: Arc<AtomicUsize>,
    held: Arc<Held>,
}

impl Consumer {
    /// Declares the queue if it is missing, and consumes from it.
    pub(super) async fn start(link: &Arc<Link>, held: &Arc<Held>, wish: Wish<'_>) -> Result<Self, PortError> {
        let Wish { queue, tag, prefetch, open } = wish;
        let doing = format!("consuming from `{}`", queue.name);
        if prefetch == 0 {
            return Err(invalid(format!("{doing} with prefetch 0 gets nothing; ask for 1 or more")));
        }
        let (name, tag) = (short(&queue.name)?, short(&tag)?);
        let (live, channel) = link.channel(&doing).await?;
        declare(&live.connection, queue, link.patience).await?;
        // AMQP counts in 16 bits.
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        let qos = answered(link.patience, channel.basic_qos(prefetch, BasicQosOptions::default())).await;
        qos.map_err(|failure| link.failed(&live, &failure, &doing))?;
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(name, tag, options, FieldTable::default());
        let stream = answered(link.patience, consuming).await;
        let stream = stream.map_err(|failure| link.failed(&live, &failure, &doing))?;
        let (commands, to_settle) = mpsc::unbounded_channel();
        let settler = Settler {
            link: Arc::clone(link),
            live,
            channel,
            queue: queue.name.clone(),
            commands: to_settle,
            tags: Tags::default(),
        };
        tokio::spawn(async move {
            settler.run().await;
            drop(open);
        });
        let count = held.counter(&queue.name);
        Ok(Self { stream: Some(stream), commands, count, held: Arc::clone(held) })
    }

    /// The next delivery. `None` or an error: the queue, the channel or the connection is gone.
    pub(super) async fn next(&mut self) -> Option<Result<(Delivery, Unsettled), PortError>> {
        loop {
            match self.stream.as_mut()?.next().await? {
                // Its channel is gone and the broker delivers it again: working on it would be in vain.
                Ok(delivery) if delivery.acker.poisoned() => {}
                Ok(delivery) => {
                    let holding = Holding::new(Arc::clone(&self.count), Arc::clone(&self.held));
                    let unsettled = Unsettled::new(delivery.delivery_tag, self.commands.clone(), holding);
                    return Some(Ok((delivery, unsettled)));
                }
                Err(error) => {
                    return Some(Err(unavailable(format!("the consumer is gone: {error}"))));
                }
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            let _ = self.commands.send(Command::Close(stream));
        }
    }
}
