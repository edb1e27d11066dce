//! When the acknowledgements of one channel go, and who waits for them.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::tags::{Ack, Tags};
use crate::domain::PortError;

/// For so long an acknowledgement waits until all deliveries before its own are settled. One command is for
/// all of them then: it is the commands that cost the broker, more than the deliveries they are for.
const PATIENCE: Duration = Duration::from_millis(20);
/// No more than this share of what the consumer may have unsettled waits: the broker hands out nothing in its
/// place.
const SHARE: usize = 8;

/// Told when an acknowledgement is written.
pub(super) type Written = oneshot::Sender<Result<(), PortError>>;

/// Acknowledgements that were asked for.
pub(super) struct Acks {
    tags: Tags,
    waiting: Vec<(u64, Written)>,
    /// When they go at the latest, each in a command of its own.
    due: Option<Instant>,
    patience: Duration,
    most_waiting: usize,
}

impl Acks {
    /// Of a consumer that may have so many deliveries unsettled.
    pub(super) fn new(prefetch: usize) -> Self {
        let most_waiting = prefetch / SHARE;
        Self { tags: Tags::default(), waiting: Vec::new(), due: None, patience: PATIENCE, most_waiting }
    }

    /// A delivery that went back to its queue.
    pub(super) fn requeued(&mut self, tag: u64) {
        self.tags.requeued(tag);
    }

    /// A delivery that is to be acknowledged.
    pub(super) fn add(&mut self, tag: u64, written: Written) {
        self.tags.finished(tag);
        self.waiting.push((tag, written));
    }

    /// From now on none waits for another.
    pub(super) fn hurry(&mut self) {
        (self.patience, self.due) = (Duration::ZERO, None);
    }

    /// When [`Self::next`] has something without anything new.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What goes now.
    pub(super) fn next(&mut self) -> Vec<Ack> {
        let mut acks: Vec<Ack> = self.tags.together().into_iter().collect();
        if self.tags.unsent() > 0 {
            let now = Instant::now();
            let due = *self.due.get_or_insert(now + self.patience);
            if due <= now || self.tags.unsent() > self.most_waiting {
                acks.extend(self.tags.singly());
            }
        }
        if self.tags.unsent() == 0 {
            self.due = None;
        }
        acks
    }

    /// Tells those whose acknowledgements have gone.
    pub(super) fn answer(&mut self, answer: &Result<(), PortError>) {
        let is_unsent = |(tag, _): &(u64, Written)| self.tags.is_unsent(*tag);
        for (_, written) in self.waiting.extract_if(.., |waiting| !is_unsent(waiting)) {
            let _ = written.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const GONE: Vec<Ack> = Vec::new();

    fn finish(acks: &mut Acks, tags: &[u64]) -> Vec<oneshot::Receiver<Result<(), PortError>>> {
        let add = |tag: &u64| {
            let (written, answer) = oneshot::channel();
            acks.add(*tag, written);
            answer
        };
        tags.iter().map(add).collect()
    }

    fn single(tag: u64) -> Ack {
        Ack { tag, multiple: false }
    }

    #[tokio::test(start_paused = true)]
    async fn one_above_a_gap_waits_a_while_for_it() {
        let mut acks = Acks::new(64);
        let mut answers = finish(&mut acks, &[3, 2]);
        assert_eq!(acks.next(), GONE);
        let late = finish(&mut acks, &[1]);
        assert_eq!(acks.next(), [Ack { tag: 3, multiple: true }]);
        assert_eq!(acks.due(), None);
        acks.answer(&Ok(()));
        for answer in answers.drain(..).chain(late) {
            answer.await.unwrap().unwrap();
        }
        let mut answers = finish(&mut acks, &[6, 5]);
        assert_eq!(acks.next(), GONE);
        acks.answer(&Ok(()));
        assert!(answers[0].try_recv().is_err(), "it has not gone");
        advance(PATIENCE).await;
        assert!(acks.due() <= Some(Instant::now()));
        assert_eq!(acks.next(), [single(5), single(6)]);
        acks.answer(&Ok(()));
        answers.remove(0).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_and_none_in_a_hurry() {
        let mut acks = Acks::new(16);
        let _answers = finish(&mut acks, &[2, 3]);
        assert_eq!(acks.next(), GONE);
        let _more = finish(&mut acks, &[4]);
        assert_eq!(acks.next(), [single(2), single(3), single(4)]);
        let _more = finish(&mut acks, &[6]);
        assert_eq!(acks.next(), GONE);
        acks.hurry();
        assert_eq!(acks.next(), [single(6)]);
        let mut acks = Acks::new(7);
        let _answers = finish(&mut acks, &[2]);
        assert_eq!(acks.next(), [single(2)]);
    }
}
