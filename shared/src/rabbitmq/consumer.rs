//! A consumer of one queue on a channel of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::{Semaphore, mpsc};

use super::acks::Acks;
use super::error::{answered, invalid, unavailable};
use super::held::{Held, HeldQueue, Holding, Member};
use super::link::Link;
use super::loan::Loan;
use super::outgoing::short;
use super::settle::{Command, Settler, Unsettled};
use super::topology::{Queue, declare};
use crate::domain::PortError;
use crate::ports::Taker;

/// What a consumer takes from, and how.
pub(super) struct Wish<'a> {
    pub(super) queue: &'a Queue,
    pub(super) taker: Taker,
    pub(super) tag: String,
    pub(super) prefetch: usize,
    /// Told when the consumer's channel is closed: it is dropped then.
    pub(super) open: mpsc::Sender<()>,
}

/// Deliveries of one queue. Dropped, it gives back what it has buffered; its channel closes when what
/// it handed out is settled.
///
/// Consumers of one queue in this process share their buffers: a message that the broker pushed to
/// one whose taker is busy goes to whoever waits. Those of one taker need not, for it waits for all of them.
pub(super) struct Consumer {
    me: Member,
    queue: Arc<HeldQueue>,
    /// As many as the prefetch: what is taken from the others' buffers counts too.
    slots: Arc<Semaphore>,
    gone: bool,
}

impl Consumer {
    /// Declares the queue if it is missing, and consumes from it.
    pub(super) async fn start(link: &Arc<Link>, held: &Arc<Held>, wish: Wish<'_>) -> Result<Self, PortError> {
        let Wish { queue, taker, tag, prefetch, open } = wish;
        let doing = format!("consuming from `{}`", queue.name);
        if prefetch == 0 {
            return Err(invalid(format!("{doing} with prefetch 0 gets nothing; ask for 1 or more")));
        }
        let (name, tag) = (short(&queue.name)?, short(&tag)?);
        let (live, channel) = link.channel(&doing).await?;
        let declared = declare(&live.connection, queue, link.patience).await;
        declared.map_err(|failed| link.not_done(&live, &failed))?;
        // AMQP counts in 16 bits.
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        let qos = answered(link.patience, channel.basic_qos(prefetch, BasicQosOptions::default())).await;
        qos.map_err(|failure| link.failed(&live, &failure, &doing))?;
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(name, tag, options, FieldTable::default());
        let stream = answered(link.patience, consuming).await;
        let stream = stream.map_err(|failure| link.failed(&live, &failure, &doing))?;
        let (commands, to_settle) = mpsc::unbounded_channel();
        let loans = Arc::default();
        let settler = Settler {
            link: Arc::clone(link),
            live,
            channel,
            queue: queue.name.clone(),
            commands: to_settle,
            acks: Acks::new(usize::from(prefetch)),
            loans: Arc::clone(&loans),
        };
        tokio::spawn(async move {
            settler.run().await;
            drop(open);
        });
        let queue = held.queue(&queue.name);
        let me = Member { taker, stream, commands, ended: Arc::default(), loans };
        queue.join(me.clone());
        Ok(Self { me, queue, slots: Arc::new(Semaphore::new(usize::from(prefetch))), gone: false })
    }

    /// The next delivery. `None` or an error: the queue, the channel or the connection is gone.
    pub(super) async fn next(&mut self) -> Option<Result<(Delivery, Unsettled), PortError>> {
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await.expect("a consumer's semaphore is never closed");
        while !self.gone {
            match self.take().await {
                // Its channel is gone and the broker delivers it again: working on it would be in vain.
                Some(Ok(taken)) if taken.delivery.acker.poisoned() => {}
                Some(Ok(Taken { delivery, commands, loan })) => {
                    let holding = Holding::new(Arc::clone(&self.queue), slot, loan);
                    let unsettled = Unsettled::new(delivery.delivery_tag, commands, holding);
                    return Some(Ok((delivery, unsettled)));
                }
                end => {
                    self.gone = true;
                    let error = end?.err()?;
                    return Some(Err(unavailable(format!("the consumer is gone: {error}"))));
                }
            }
        }
        None
    }

    /// The first delivery from its own buffer or another taker's, or the end of this consumer.
    async fn take(&mut self) -> Option<lapin::Result<Taken>> {
        let (queue, ended) = (Arc::clone(&self.queue), Arc::clone(&self.me.ended));
        // With work at hand nobody else's buffer is looked at.
        if let Poll::Ready(taken) = poll_fn(|cx| Poll::Ready(poll_own(&mut self.me, cx))).await {
            return taken;
        }
        loop {
            let mut joined = pin!(queue.joined.notified());
            joined.as_mut().enable();
            let mut others = queue.others(&self.me);
            tokio::select! {
                biased;
                taken = poll_fn(|cx| poll(&mut self.me, &mut others, cx)) => return taken,
                () = ended.notified() => return None,
                () = joined => {}
            }
        }
    }
}

/// A delivery, and who settles it.
struct Taken {
    delivery: Delivery,
    commands: mpsc::UnboundedSender<Command>,
    loan: Loan,
}

fn poll_own(me: &mut Member, cx: &mut Context<'_>) -> Poll<Option<lapin::Result<Taken>>> {
    let own = |delivery| Taken { delivery, commands: me.commands.clone(), loan: Loan::new(&me.loans) };
    me.stream.poll_next_unpin(cx).map(|next| next.map(|next| next.map(own)))
}

/// Own deliveries first, then what lies in the buffers of other takers.
fn poll(me: &mut Member, others: &mut [Member], cx: &mut Context<'_>) -> Poll<Option<lapin::Result<Taken>>> {
    if let Poll::Ready(taken) = poll_own(me, cx) {
        return Poll::Ready(taken);
    }
    for other in others {
        let loan = Loan::new(&other.loans);
        match other.stream.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(delivery))) => {
                return Poll::Ready(Some(Ok(Taken { delivery, commands: other.commands.clone(), loan })));
            }
            // It was meant for the other.
            Poll::Ready(_) => other.ended.notify_one(),
            Poll::Pending => {}
        }
    }
    Poll::Pending
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.queue.leave(&self.me);
        let _ = self.me.commands.send(Command::Close(self.me.stream.clone()));
    }
}
