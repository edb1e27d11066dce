//! When the acknowledgements of one channel go.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::tags::{Going, Tags};
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
    tags: Tags<Written>,
    /// When they go at the latest, each in a command of its own.
    due: Option<Instant>,
    patience: Duration,
    most_waiting: usize,
}

impl Acks {
    /// Of a consumer that may have so many deliveries unsettled.
    pub(super) fn new(prefetch: usize) -> Self {
        let most_waiting = prefetch / SHARE;
        Self { tags: Tags::new(), due: None, patience: PATIENCE, most_waiting }
    }

    /// A delivery that went back to its queue.
    pub(super) fn requeued(&mut self, tag: u64) {
        self.tags.requeued(tag);
    }

    /// A delivery that is to be acknowledged.
    pub(super) fn add(&mut self, tag: u64, written: Written) {
        self.tags.finished(tag, written);
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
    pub(super) fn next(&mut self) -> Going<Written> {
        let mut going = self.tags.together();
        if self.tags.unsent() > 0 {
            let now = Instant::now();
            let due = *self.due.get_or_insert(now + self.patience);
            if due <= now || self.tags.unsent() > self.most_waiting {
                let Going { acks, waiting } = self.tags.singly();
                going.acks.extend(acks);
                going.waiting.extend(waiting);
            }
        }
        if self.tags.unsent() == 0 {
            self.due = None;
        }
        going
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::tags::Ack;
    use super::*;

    fn finish(acks: &mut Acks, tags: &[u64]) -> Vec<oneshot::Receiver<Result<(), PortError>>> {
        let add = |tag: &u64| {
            let (written, answer) = oneshot::channel();
            acks.add(*tag, written);
            answer
        };
        tags.iter().map(add).collect()
    }

    /// What goes now; whoever waits for it is told.
    fn send(acks: &mut Acks) -> Vec<Ack> {
        let going = acks.next();
        going.waiting.into_iter().for_each(|written| written.send(Ok(())).expect("somebody waits"));
        going.acks
    }

    fn single(tag: u64) -> Ack {
        Ack { tag, multiple: false }
    }

    #[tokio::test(start_paused = true)]
    async fn one_above_a_gap_waits_a_while_for_it() {
        let mut acks = Acks::new(64);
        let answers = finish(&mut acks, &[3, 2]);
        assert_eq!(send(&mut acks), []);
        let late = finish(&mut acks, &[1]);
        assert_eq!(send(&mut acks), [Ack { tag: 3, multiple: true }]);
        assert_eq!(acks.due(), None);
        for answer in answers.into_iter().chain(late) {
            answer.await.unwrap().unwrap();
        }
        let mut answers = finish(&mut acks, &[6, 5]);
        assert_eq!(send(&mut acks), []);
        assert!(answers[0].try_recv().is_err(), "it has not gone");
        advance(PATIENCE).await;
        assert!(acks.due() <= Some(Instant::now()));
        assert_eq!(send(&mut acks), [single(5), single(6)]);
        answers.remove(0).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_and_none_in_a_hurry() {
        let mut acks = Acks::new(16);
        let _answers = finish(&mut acks, &[2, 3]);
        assert_eq!(send(&mut acks), []);
        let _more = finish(&mut acks, &[4]);
        assert_eq!(send(&mut acks), [single(2), single(3), single(4)]);
        let _more = finish(&mut acks, &[6]);
        assert_eq!(send(&mut acks), []);
        acks.hurry();
        assert_eq!(send(&mut acks), [single(6)]);
        let mut acks = Acks::new(7);
        let _answers = finish(&mut acks, &[2]);
        assert_eq!(send(&mut acks), [single(2)]);
    }
}
