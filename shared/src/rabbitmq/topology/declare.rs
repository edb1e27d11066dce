//! Declares what is missing; where that is not allowed, looks whether it is there.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};

use super::{COMMON_QUEUES, EXCHANGES, Queue};
use crate::rabbitmq::error::{ACCESS_REFUSED, Failed, Failure, answered};
use crate::rabbitmq::outgoing::short;

/// Declares the exchanges and the queues that every process needs.
pub(in crate::rabbitmq) async fn declare_common(
    connection: &Connection,
    patience: Duration,
) -> Result<(), Failed> {
    let mut declarer = Declarer::new(connection, patience);
    for (name, kind) in EXCHANGES {
        declarer.exchange(name, kind).await?;
    }
    for name in COMMON_QUEUES {
        declarer.queue(&Queue::named(name)).await?;
    }
    declarer.close().await;
    Ok(())
}

/// Declares a queue with its binding, and the exchange it is bound to.
pub(in crate::rabbitmq) async fn declare(
    connection: &Connection,
    queue: &Queue,
    patience: Duration,
) -> Result<(), Failed> {
    let mut declarer = Declarer::new(connection, patience);
    if let Some((exchange, _)) = &queue.binding {
        declarer.exchange(exchange, "direct").await?;
    }
    declarer.queue(queue).await?;
    declarer.close().await;
    Ok(())
}

/// Declares on a channel of its own: a refusal closes the channel.
struct Declarer<'a> {
    connection: &'a Connection,
    patience: Duration,
    channel: Option<Channel>,
    /// The user may not configure: look only.
    passive: bool,
}

impl<'a> Declarer<'a> {
    fn new(connection: &'a Connection, patience: Duration) -> Self {
        Self { connection, patience, channel: None, passive: false }
    }

    async fn exchange(&mut self, name: &str, kind: &str) -> Result<(), Failed> {
        let step = Step::Exchange { name: short(name)?, kind: kind_of(kind) };
        self.take(step, format!("declaring exchange `{name}`")).await
    }

    async fn queue(&mut self, queue: &Queue) -> Result<(), Failed> {
        let name = short(&queue.name)?;
        self.take(Step::Queue { name: name.clone() }, format!("declaring queue `{name}`")).await?;
        let Some((exchange, key)) = &queue.binding else { return Ok(()) };
        let step = Step::Binding { queue: name.clone(), exchange: short(exchange)?, key: short(key)? };
        self.take(step, format!("binding queue `{name}`")).await
    }

    /// Tries to declare; once that was refused for want of permission, only looks.
    async fn take(&mut self, step: Step, doing: String) -> Result<(), Failed> {
        let first = self.attempt(&step).await;
        let refused = matches!(&first, Err(failure) if failure.code() == Some(ACCESS_REFUSED));
        let answer = if refused && !self.passive {
            self.passive = true;
            self.attempt(&step).await
        } else {
            first
        };
        answer.map_err(|failure| Failed { failure, doing })
    }

    async fn attempt(&mut self, step: &Step) -> Result<(), Failure> {
        let channel = match self.channel.take() {
            Some(channel) if channel.status().connected() => channel,
            _ => answered(self.patience, self.connection.create_channel()).await?,
        };
        answered(self.patience, step.clone().run(&channel, self.passive)).await?;
        self.channel = Some(channel);
        Ok(())
    }

    async fn close(self) {
        if let Some(channel) = self.channel {
            let _ = answered(self.patience, channel.close(200, "done".into())).await;
        }
    }
}

/// One thing to declare.
#[derive(Clone)]
enum Step {
    Exchange { name: ShortString, kind: ExchangeKind },
    Queue { name: ShortString },
    Binding { queue: ShortString, exchange: ShortString, key: ShortString },
}

impl Step {
    async fn run(self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        let nothing = FieldTable::default();
        match self {
            Self::Exchange { name, kind } => {
                let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
                channel.exchange_declare(name, kind, options, nothing).await
            }
            Self::Queue { name } => {
                let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
                channel.queue_declare(name, options, quorum()).await.map(drop)
            }
            // AMQP cannot look at bindings. Whoever declared the queue bound it.
            Self::Binding { .. } if passive => Ok(()),
            Self::Binding { queue, exchange, key } => {
                channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), nothing).await
            }
        }
    }
}

pub(super) fn kind_of(kind: &str) -> ExchangeKind {
    if kind == "topic" { ExchangeKind::Topic } else { ExchangeKind::Direct }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}
