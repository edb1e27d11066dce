//! The one task that settles the deliveries of a consumer's channel, and closes it.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep_until};

use super::acks::{Acks, Written};
use super::error::{Failure, answered, unavailable};
use super::held::Holding;
use super::link::{LOOK, Link, Live};
use super::loan::Loans;
use super::tags::{Ack, Going};
use crate::domain::PortError;

/// How many settlements are gathered at most before they are sent.
const BATCH: usize = 1_024;

/// What deliveries and their consumer ask of the task.
pub(super) enum Command {
    /// Done with it; the answer comes when the acknowledgement is written.
    Ack { tag: u64, written: Written },
    /// Back to the queue.
    Requeue { tag: u64 },
    /// The consumer goes: its buffered deliveries go back, then the channel closes.
    Close(lapin::Consumer),
}

/// A delivery that is not settled. Dropped, it goes back to its queue.
pub(super) struct Unsettled {
    tag: u64,
    commands: mpsc::UnboundedSender<Command>,
    settled: bool,
    _holding: Holding,
}

impl Unsettled {
    pub(super) fn new(tag: u64, commands: mpsc::UnboundedSender<Command>, holding: Holding) -> Self {
        Self { tag, commands, settled: false, _holding: holding }
    }

    /// Its consumer is gone: the broker delivers it again.
    pub(super) fn is_gone(&self) -> bool {
        self.commands.is_closed()
    }

    /// `Ok` once the acknowledgement is written to a live channel.
    pub(super) async fn ack(mut self) -> Result<(), PortError> {
        let (written, answer) = oneshot::channel();
        self.settled = true;
        let gone = || unavailable("its consumer is gone; the broker delivers the message again");
        self.commands.send(Command::Ack { tag: self.tag, written }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if !self.settled {
            // Without its task the channel is closed, and that gives everything back.
            let _ = self.commands.send(Command::Requeue { tag: self.tag });
        }
    }
}

/// The task of one consumer's channel.
pub(super) struct Settler {
    pub(super) link: Arc<Link>,
    pub(super) live: Live,
    pub(super) channel: Channel,
    pub(super) queue: String,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) acks: Acks,
    /// What other consumers took from this one's buffer.
    pub(super) loans: Arc<Loans>,
}

impl Settler {
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut look = interval(LOOK);
        let mut is_open = true;
        loop {
            let due = self.acks.due();
            tokio::select! {
                biased;
                _ = look.tick(), if is_open => {
                    is_open = self.channel.status().connected();
                    if !is_open {
                        self.link.lost_channel(&self.live);
                    }
                    continue;
                }
                came = self.commands.recv_many(&mut batch, BATCH) => if came == 0 { return },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            if let Some(consumer) = self.settle(batch.drain(..)).await {
                if is_open {
                    self.close(consumer).await;
                }
                return;
            }
        }
    }

    /// Sends what is to go now. What was given back goes first: no acknowledgement may cover it.
    async fn settle(&mut self, commands: impl Iterator<Item = Command>) -> Option<lapin::Consumer> {
        let (mut back, mut closing) = (Vec::new(), None);
        for command in commands {
            match command {
                Command::Ack { tag, written } => self.acks.add(tag, written),
                Command::Requeue { tag } => back.push(tag),
                Command::Close(consumer) => closing = Some(consumer),
            }
        }
        self.give_back(back).await;
        self.acknowledge().await;
        closing
    }

    /// What somebody had and dropped. A reject counts towards the delivery limit on every version of
    /// the broker; a nack does not on 4.3, and a message that kills its workers would come for ever.
    async fn give_back(&mut self, tags: Vec<u64>) {
        let options = BasicRejectOptions { requeue: true };
        // One that cannot be written needs no more care: the channel is dead, all goes back.
        let _ = self.written(join_all(tags.iter().map(|tag| self.channel.basic_reject(*tag, options)))).await;
        for tag in tags {
            self.acks.requeued(tag);
        }
    }

    /// What nobody had looked at.
    async fn hand_on(&mut self, tags: Vec<u64>) {
        let options = BasicNackOptions { requeue: true, multiple: false };
        let _ = self.written(join_all(tags.iter().map(|tag| self.channel.basic_nack(*tag, options)))).await;
        for tag in tags {
            self.acks.requeued(tag);
        }
    }

    /// `basic_ack` of the channel queues its frame when it is first polled: the order stays, and
    /// no task is spawned for each, as the deliveries' own ackers do. Tags are never mixed up, for
    /// a channel here lives on one connection only.
    async fn acknowledge(&mut self) {
        let Going { acks, waiting } = self.acks.next();
        if acks.is_empty() {
            return;
        }
        let sending = acks.iter().map(|Ack { tag, multiple }| {
            self.channel.basic_ack(*tag, BasicAckOptions { multiple: *multiple })
        });
        // Frames leave in order, so one that failed says nothing good of any other: all answer alike.
        let answer = self.written(join_all(sending)).await;
        for written in waiting {
            let _ = written.send(answer.clone());
        }
    }

    async fn written(&self, frames: impl Future<Output = Vec<lapin::Result<()>>>) -> Result<(), PortError> {
        let all = async { frames.await.into_iter().collect::<lapin::Result<Vec<()>>>() };
        match answered(self.link.patience, all).await {
            Ok(_) if self.channel.status().connected() => Ok(()),
            Ok(_) => Err(unavailable("the channel closed; the broker delivers the message again")),
            Err(failure) => Err(self.link.failed(&self.live, &failure, "settling deliveries")),
        }
    }

    /// In an order that loses no acknowledgement: cancel, give back, one request that the queue
    /// itself answers, close. A quorum queue forgets acknowledgements that are under way when their
    /// channel closes.
    async fn close(&mut self, mut consumer: lapin::Consumer) {
        if !self.channel.status().connected() {
            return self.link.lost_channel(&self.live);
        }
        self.acks.hurry();
        let patience = self.link.patience;
        let cancel = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        if let Err(failure @ Failure::Silent) = answered(patience, cancel).await {
            self.link.failed(&self.live, &failure, "cancelling a consumer");
            return;
        }
        // What comes before the cancel's answer is in the buffer by now.
        let mut buffered = Vec::new();
        while let Some(Some(delivery)) = consumer.next().now_or_never() {
            buffered.extend(delivery.map(|delivery| delivery.delivery_tag));
        }
        self.hand_on(buffered).await;
        self.acknowledge().await;
        let mut late = Vec::new();
        while self.loans.any() {
            tokio::select! {
                _ = self.commands.recv_many(&mut late, BATCH) => { self.settle(late.drain(..)).await; }
                () = self.loans.ended() => {}
            }
        }
        self.commands.close();
        while self.commands.recv_many(&mut late, BATCH).await > 0 {
            self.settle(late.drain(..)).await;
        }
        let ask = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asked = self.channel.queue_declare(self.queue.as_str().into(), ask, FieldTable::default());
        let _ = answered(patience, asked).await;
        let _ = answered(patience, self.channel.close(200, "done".into())).await;
    }
}
