//! One confirm channel and the one task that publishes on it. Channels are never shared between
//! tasks: lapin would report confirms to the wrong publishes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use lapin::options::ConfirmSelectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::{Failed, answered, unavailable};
use super::flight::Flight;
use super::link::{Link, Live};
use super::outgoing::{NotPublished, Outgoing, Published};
use super::topology;
use crate::domain::PortError;

/// How long after its deadline a publish waits for the lane's own answer, which knows more.
const GRACE: Duration = Duration::from_millis(500);

/// A way to publish. Dropped, its channel closes.
pub(super) struct Lane {
    requests: mpsc::UnboundedSender<Request>,
    link: Arc<Link>,
    window: usize,
    confirm_timeout: Duration,
    task: AbortHandle,
}

/// At most a window of messages, and who waits for them.
struct Request {
    messages: Vec<Outgoing>,
    deadline: Instant,
    answer: oneshot::Sender<Vec<Published>>,
}

impl Lane {
    pub(super) fn start(link: Arc<Link>, window: usize, confirm_timeout: Duration) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        let worker = Worker { link: Arc::clone(&link), window, queue, open: None };
        let task = tokio::spawn(worker.run()).abort_handle();
        Self { requests, link, window, confirm_timeout, task }
    }

    /// Publishes in order. The answers are in the order of the messages, and are there soon after
    /// the confirm timeout of the last window at the latest.
    pub(super) async fn publish(&self, mut messages: Vec<Outgoing>) -> Vec<Published> {
        let mut answers = Vec::with_capacity(messages.len());
        while !messages.is_empty() {
            let rest = messages.split_off(messages.len().min(self.window));
            answers.extend(self.publish_window(std::mem::replace(&mut messages, rest)).await);
        }
        answers
    }

    async fn publish_window(&self, messages: Vec<Outgoing>) -> Vec<Published> {
        let count = messages.len();
        let deadline = Instant::now() + self.confirm_timeout;
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request { messages, deadline, answer });
        match timeout_at(deadline + GRACE, answered).await {
            Ok(Ok(answers)) => answers,
            _ => vec![Err(NotPublished::Unknown(self.link.trouble())); count],
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Requests that fly together.
struct Group {
    deadline: Instant,
    waiting: Vec<(usize, oneshot::Sender<Vec<Published>>)>,
}

impl Group {
    fn answer(&mut self, answers: Vec<Published>) {
        let mut answers = answers.into_iter();
        for (count, waiting) in self.waiting.drain(..) {
            let _ = waiting.send(answers.by_ref().take(count).collect());
        }
    }

    fn answer_all(&mut self, error: &PortError) {
        let count = self.waiting.iter().map(|(count, _)| count).sum();
        self.answer(vec![Err(NotPublished::Wrong(error.clone())); count]);
    }
}

/// Requests whose messages are not sent: each is answered at its deadline, when its caller tries again, or
/// when the lane sends again.
#[derive(Default)]
struct Refused(VecDeque<(Instant, usize, oneshot::Sender<Vec<Published>>)>);

impl Refused {
    /// Takes requests, and drops their messages. Ends when nobody can send any more.
    async fn take_all(&mut self, queue: &mut mpsc::UnboundedReceiver<Request>, link: &Link) {
        loop {
            let next = self.0.front().map(|(deadline, ..)| *deadline);
            tokio::select! {
                request = queue.recv() => {
                    let Some(Request { messages, deadline, answer }) = request else { return };
                    self.0.push_back((deadline, messages.len(), answer));
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.answer_first(&link.trouble());
                }
            }
        }
    }

    fn answer_first(&mut self, why: &str) {
        if let Some((_, count, answer)) = self.0.pop_front() {
            let _ = answer.send(vec![Err(NotPublished::Wrong(unavailable(why))); count]);
        }
    }

    fn answer_all(&mut self, why: &str) {
        while !self.0.is_empty() {
            self.answer_first(why);
        }
    }
}

struct Worker {
    link: Arc<Link>,
    window: usize,
    queue: mpsc::UnboundedReceiver<Request>,
    open: Option<(Live, Channel)>,
}

impl Worker {
    async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let (mut group, messages) = self.gather(first);
            if messages.is_empty() {
                continue;
            }
            match self.channel(group.deadline).await {
                Ok((live, channel)) => self.fly(&live, Flight::start(&channel, messages), group).await,
                Err(error) => group.answer_all(&error),
            }
        }
    }

    /// The first request and what else waits, a window at most. Whoever gave up is left out.
    fn gather(&mut self, first: Request) -> (Group, Vec<Outgoing>) {
        let mut group = Group { deadline: first.deadline, waiting: Vec::new() };
        let mut messages = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next.take() {
            if !request.answer.is_closed() {
                group.waiting.push((request.messages.len(), request.answer));
                messages.extend(request.messages);
            }
            // A request has a window at most, so a group has less than two.
            if messages.len() < self.window {
                next = self.queue.try_recv().ok();
            }
        }
        (group, messages)
    }

    /// Answers the group when all confirms are in, or at its deadline with what is known by then.
    async fn fly(&mut self, live: &Live, mut flight: Flight, mut group: Group) {
        if timeout_at(group.deadline, flight.landed()).await.is_ok() {
            return group.answer(flight.answers("the channel closed"));
        }
        group.answer(flight.answers(&self.link.trouble()));
        // Under an alarm nothing is sent. Another connection would help nothing: each would leave
        // messages behind that land later. So the lane waits, and refuses what comes meanwhile.
        if live.connection.status().blocked() {
            let mut refused = Refused::default();
            let has_landed = tokio::select! {
                () = flight.landed() => true,
                () = self.link.is_over(live) => false,
                () = refused.take_all(&mut self.queue, &self.link) => false,
            };
            refused.answer_all(&self.link.trouble());
            if has_landed {
                return;
            }
        }
        self.link.condemn(live);
        self.open = None;
    }

    /// The confirm channel, opened if need be.
    async fn channel(&mut self, deadline: Instant) -> Result<(Live, Channel), PortError> {
        if let Some((live, channel)) = &self.open
            && channel.status().connected()
        {
            return Ok((live.clone(), channel.clone()));
        }
        self.open = None;
        let live = self.link.connection(deadline).await?;
        let opening = open(&live, self.link.patience);
        let Ok(opened) = timeout_at(deadline, opening).await else {
            // Under an alarm another connection would be blocked as well.
            if !live.connection.status().blocked() {
                self.link.condemn(&live);
            }
            return Err(unavailable(self.link.trouble()));
        };
        let channel = opened.map_err(|failed| self.link.not_done(&live, &failed))?;
        self.open = Some((live.clone(), channel.clone()));
        Ok((live, channel))
    }
}

/// A new confirm channel. What it publishes to is declared first: the broker may be a new one.
async fn open(live: &Live, patience: Duration) -> Result<Channel, Failed> {
    topology::declare_common(&live.connection, patience).await?;
    let failed = |failure| Failed { failure, doing: "opening a channel to publish".to_owned() };
    let channel = answered(patience, live.connection.create_channel()).await.map_err(failed)?;
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    answered(patience, confirming).await.map_err(failed)?;
    Ok(channel)
}
