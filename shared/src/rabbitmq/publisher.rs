//! Publishing with confirms, to any exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::lane::Lane;
use super::link::Link;
use super::options::RabbitOptions;
use super::outgoing::{NotPublished, Outgoing, Published};
use crate::domain::PortError;

/// While one lane waits for the confirms of its group, another sends.
const LANES: usize = 2;

/// Publishes messages and waits until the broker has them. Clones share the connection.
#[derive(Clone)]
pub struct Publisher {
    lanes: Arc<Vec<Lane>>,
    next: Arc<AtomicUsize>,
    link: Arc<Link>,
}

impl Publisher {
    pub(super) fn start(options: &RabbitOptions, purpose: &str) -> Result<Self, PortError> {
        let link = Arc::new(Link::start(options, purpose)?);
        let lane = |_| Lane::start(Arc::clone(&link), options.window.max(1), options.confirm_timeout);
        Ok(Self { lanes: Arc::new((0..LANES).map(lane).collect()), next: Arc::default(), link })
    }

    /// Publishes in order; the answers are in the order of the messages.
    ///
    /// `Ok`: the broker has it and, if it was mandatory, some queue has it. `Err`: the broker may
    /// have it, unless the error says that it was returned. Ends soon after the confirm timeout,
    /// whatever happens.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        let names: Vec<_> =
            messages.iter().map(|message| (message.exchange.clone(), message.routing_key.clone())).collect();
        let answers = self.send(messages).await;
        let answer = |((exchange, key), answer): ((String, String), Published)| {
            answer.map_err(|error| error.into_error(&exchange, &key))
        };
        names.into_iter().zip(answers).map(answer).collect()
    }

    pub(super) async fn send(&self, mut messages: Vec<Outgoing>) -> Vec<Published> {
        let checks: Vec<_> = messages.iter().map(Outgoing::check).collect();
        let mut checked = checks.iter();
        messages.retain(|_| checked.next().is_some_and(Result::is_ok));
        // A call stays on one lane, so its messages stay in order.
        let lane = &self.lanes[self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len()];
        let mut answers = lane.publish(messages).await.into_iter();
        let answer = |check: Result<(), PortError>| match check {
            Ok(()) => answers.next().expect("each message is answered"),
            Err(error) => Err(NotPublished::Wrong(error)),
        };
        checks.into_iter().map(answer).collect()
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}
