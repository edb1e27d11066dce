//! The port's adapter: what it does with a line, in the words of queues.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

use super::answers::Answers;
use super::consumer::{Consumer, Wish};
use super::error::{NOT_FOUND, answered};
use super::held::Held;
use super::intake::IntakeConsumer;
use super::line::LineConsumer;
use super::link::{Link, Live};
use super::options::RabbitOptions;
use super::outgoing::{NotPublished, Outgoing, Published, short};
use super::publisher::Publisher;
use super::rejection::Origin;
use super::topology::{JOBS_EXCHANGE, Queue, declare};
use crate::domain::PortError;
use crate::ports::{Broker, Deliveries, Depth, Message, Taker, Unpublished};

/// Lines on `RabbitMQ`. It connects in the background and keeps on trying; while there is no
/// connection, calls end with `Unavailable` after the timeouts of its options.
///
/// Call [`RabbitBroker::close`] before the process exits, else the last acknowledgements may be lost
/// and their messages delivered again.
pub struct RabbitBroker {
    pod: String,
    publisher: Publisher,
    answers: Answers,
    link: Arc<Link>,
    /// Of the queues that are no lines.
    intakes: Mutex<HashMap<String, Arc<Link>>>,
    options: RabbitOptions,
    held: Arc<Held>,
    /// Passive declares, one at a time.
    asking: Mutex<Option<(Live, Channel)>>,
    consumers: Mutex<Consumers>,
}

/// Every consumer's task holds a sender; when the receiver ends, all are closed.
struct Consumers {
    open: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
}

impl RabbitBroker {
    /// A broker that starts to connect. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The URL cannot be read. That nothing answers there is no error yet; see
    /// [`RabbitBroker::connected`].
    pub fn new(options: &RabbitOptions) -> Result<Self, PortError> {
        let (open, closed) = mpsc::channel(1);
        Ok(Self {
            pod: options.pod.clone(),
            publisher: Publisher::start(options, "publish")?,
            answers: Answers::new(options),
            link: Arc::new(Link::start(options, "consume")?),
            intakes: Mutex::default(),
            options: options.clone(),
            held: Arc::default(),
            asking: Mutex::default(),
            consumers: Mutex::new(Consumers { open, closed }),
        })
    }

    /// Waits until both connections are up, at most for the connect timeout.
    pub async fn connected(&self) -> Result<(), PortError> {
        for link in [self.publisher.link(), &self.link] {
            link.connection(Instant::now() + link.patience).await?;
        }
        Ok(())
    }

    /// Publishes to any exchange, over the same connection.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Sends an answer to where whoever asked wants it, over connections of its own, and once or twice more if it is
    /// unknown whether it arrived. An error: it may not have.
    pub async fn answer(&self, answer: Outgoing) -> Result<(), PortError> {
        self.answers.send(answer).await
    }

    /// Consumes from a queue that is no line, such as [`super::topology::SUBMIT_QUEUE`], over a connection
    /// of its own; declares it if it is missing.
    pub async fn intake(&self, queue: &str, prefetch: usize) -> Result<IntakeConsumer, PortError> {
        let short_name = queue.strip_prefix("fleetline.").unwrap_or(queue);
        let link = self.intake_link(queue, short_name).await?;
        let is_careful = link.met_the_unreadable();
        let prefetch = if is_careful { prefetch.min(1) } else { prefetch };
        let taker = Taker::default();
        let consumer = self.consumer(&link, &taker, &Queue::named(queue), short_name, prefetch).await?;
        Ok(IntakeConsumer::new(consumer, self.origin(queue.to_owned()), link, is_careful))
    }

    async fn intake_link(&self, queue: &str, short_name: &str) -> Result<Arc<Link>, PortError> {
        let mut intakes = self.intakes.lock().await;
        if let Some(link) = intakes.get(queue) {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(Link::start(&self.options, &format!("consume {short_name}"))?);
        intakes.insert(queue.to_owned(), Arc::clone(&link));
        Ok(link)
    }

    /// Closes in good order. Settle and drop all consumers first: this waits for their
    /// acknowledgements to arrive, and gives up on a broker that does not answer.
    pub async fn close(&self) {
        let mut consumers = self.consumers.lock().await;
        let (open, _) = mpsc::channel(1);
        consumers.open = open;
        let _ = timeout(self.link.patience, consumers.closed.recv()).await;
        self.link.close().await;
        for link in self.intakes.lock().await.values() {
            link.close().await;
        }
        self.answers.close().await;
        self.publisher.link().close().await;
    }

    fn origin(&self, queue: String) -> Arc<Origin> {
        Arc::new(Origin { queue, publisher: self.publisher() })
    }

    async fn consumer(
        &self,
        link: &Arc<Link>,
        taker: &Taker,
        queue: &Queue,
        kind: &str,
        prefetch: usize,
    ) -> Result<Consumer, PortError> {
        let open = self.consumers.lock().await.open.clone();
        let (taker, tag) = (taker.clone(), format!("{}.{kind}", self.pod));
        let wish = Wish { queue, taker, tag, prefetch, open };
        Consumer::start(link, &self.held, wish).await
    }

    /// Declares the lines of what was returned. True if one of them was.
    async fn declare_lines(&self, lines: HashSet<&str>) -> bool {
        let deadline = Instant::now() + self.link.patience;
        let Ok(live) = self.publisher.link().connection(deadline).await else { return false };
        let mut any = false;
        for line in lines {
            match declare(&live.connection, &Queue::of_line(line), self.link.patience).await {
                Ok(()) => any = true,
                Err(failed) => {
                    let error = self.publisher.link().not_done(&live, &failed);
                    tracing::warn!(line, %error, "a line is missing");
                }
            }
        }
        any
    }

    /// Messages in the queue that nobody has, and its consumers. An unknown queue has none.
    async fn counts(&self, queue: &str) -> Result<(usize, usize), PortError> {
        let doing = format!("asking how much `{queue}` holds");
        let name = short(queue)?;
        let mut asking = self.asking.lock().await;
        let (live, channel) = match asking.take() {
            Some((live, channel)) if channel.status().connected() => (live, channel),
            _ => self.link.channel(&doing).await?,
        };
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asked = channel.queue_declare(name, passive, FieldTable::default());
        match answered(self.link.patience, asked).await {
            Ok(queue) => {
                *asking = Some((live, channel));
                Ok((queue.message_count() as usize, queue.consumer_count() as usize))
            }
            // The refusal closed the channel.
            Err(failure) if failure.code() == Some(NOT_FOUND) => Ok((0, 0)),
            Err(failure) => Err(self.link.failed(&live, &failure, &doing)),
        }
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), Unpublished>> {
        let lines: Vec<_> = messages.iter().map(|message| message.line.clone()).collect();
        let mut answers = self.publisher.send(messages.into_iter().map(to_outgoing).collect()).await;
        let returned = returned(&answers);
        if !returned.is_empty() {
            let missing = returned.iter().map(|(_, message)| message.routing_key.as_str()).collect();
            if self.declare_lines(missing).await {
                let (places, again): (Vec<_>, Vec<_>) = returned.into_iter().unzip();
                let again = again.into_iter().map(Arc::unwrap_or_clone).collect();
                for (place, answer) in places.into_iter().zip(self.publisher.send(again).await) {
                    answers[place] = answer;
                }
            }
        }
        let answer = |(answer, line): (Published, String)| {
            answer.map_err(|why| Unpublished {
                may_be_there: matches!(why, NotPublished::Unknown(_)),
                error: why.into_error(JOBS_EXCHANGE, &line),
            })
        };
        answers.into_iter().zip(lines).map(answer).collect()
    }

    async fn consume(&self, line: &str, prefetch: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.consume_as(&Taker::default(), line, prefetch).await
    }

    async fn consume_as(
        &self,
        taker: &Taker,
        line: &str,
        prefetch: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        let queue = Queue::of_line(line);
        let consumer = self.consumer(&self.link, taker, &queue, line, prefetch).await?;
        Ok(Box::new(LineConsumer { consumer, origin: self.origin(queue.name) }))
    }

    /// Ready as the broker counts it. Unsettled is what this process was handed and has not settled:
    /// other processes' deliveries are not counted, nor is what lies in a consumer's buffer.
    async fn depth(&self, line: &str) -> Result<Depth, PortError> {
        let queue = Queue::of_line(line).name;
        let (ready, _) = self.counts(&queue).await?;
        Ok(Depth { ready, unsettled: self.held.count(&queue) })
    }

    fn contacts(&self) -> u64 {
        self.link.made()
    }

    async fn consumers(&self, line: &str) -> Result<usize, PortError> {
        Ok(self.counts(&Queue::of_line(line).name).await?.1)
    }

    /// Resolves when a delivery of this process was settled; in one without consumers, never.
    async fn line_moved(&self) {
        self.held.moved.notified().await;
    }

    async fn took_back(&self) {
        self.link.broke().await;
    }
}

fn to_outgoing(message: Message) -> Outgoing {
    let mut outgoing = Outgoing::new(JOBS_EXCHANGE, &message.line, message.id.to_string(), message.body);
    outgoing.content_type = Some("application/json".to_owned());
    outgoing
}

/// What no queue took, with its place among the answers.
fn returned(answers: &[Published]) -> Vec<(usize, Arc<Outgoing>)> {
    let returned = |(place, answer): (usize, &Published)| match answer {
        Err(NotPublished::Unroutable(message)) => Some((place, Arc::clone(message))),
        _ => None,
    };
    answers.iter().enumerate().filter_map(returned).collect()
}
