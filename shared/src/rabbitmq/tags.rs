//! Which acknowledgements to send for the delivery tags of one channel.

use std::collections::{BTreeMap, BTreeSet};

/// The settled tags of a channel: all up to `floor`, and those above it.
#[derive(Debug)]
pub(super) struct Tags<Waiting> {
    floor: u64,
    above: BTreeSet<u64>,
    /// Those that are finished, and whose acknowledgements have not been sent, with who waits for that.
    unsent: BTreeMap<u64, Waiting>,
}

/// One acknowledgement; with `multiple` it covers all unsettled tags up to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

/// Acknowledgements to send, and who waits for them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Going<Waiting> {
    pub(super) acks: Vec<Ack>,
    pub(super) waiting: Vec<Waiting>,
}

impl<Waiting> Tags<Waiting> {
    pub(super) fn new() -> Self {
        Self { floor: 0, above: BTreeSet::new(), unsent: BTreeMap::new() }
    }

    /// A tag that went back to its queue.
    pub(super) fn requeued(&mut self, tag: u64) {
        self.above.insert(tag);
        self.rise();
    }

    /// A tag that is to be acknowledged.
    pub(super) fn finished(&mut self, tag: u64, waiting: Waiting) {
        self.above.insert(tag);
        self.unsent.insert(tag, waiting);
        self.rise();
    }

    /// The one acknowledgement of all that leave no unsettled tag below them, if there are any.
    pub(super) fn together(&mut self) -> Going<Waiting> {
        let high = self.unsent.split_off(&(self.floor + 1));
        let low = std::mem::replace(&mut self.unsent, high);
        // The broker must still have the tag that a multiple acknowledgement names.
        let ack = low.last_key_value().map(|(tag, _)| Ack { tag: *tag, multiple: low.len() > 1 });
        Going { acks: ack.into_iter().collect(), waiting: low.into_values().collect() }
    }

    /// The acknowledgements of all others.
    pub(super) fn singly(&mut self) -> Going<Waiting> {
        let single = |(tag, waiting)| (Ack { tag, multiple: false }, waiting);
        let (acks, waiting) = std::mem::take(&mut self.unsent).into_iter().map(single).unzip();
        Going { acks, waiting }
    }

    /// How many finished tags' acknowledgements have not been sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    fn rise(&mut self) {
        while self.above.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_is_never_covered() {
        let mut tags = Tags::new();
        let going = |acks: &[(u64, bool)], waiting: &[u64]| Going {
            acks: acks.iter().map(|&(tag, multiple)| Ack { tag, multiple }).collect(),
            waiting: waiting.to_vec(),
        };
        let finish = |tags: &mut Tags<u64>, finished: &[u64]| {
            for tag in finished {
                tags.finished(*tag, *tag);
            }
            tags.together()
        };
        assert_eq!(finish(&mut tags, &[2, 3]), going(&[], &[]));
        assert_eq!(tags.singly(), going(&[(2, false), (3, false)], &[2, 3]));
        assert_eq!(finish(&mut tags, &[1]), going(&[(1, false)], &[1]));
        assert_eq!(finish(&mut tags, &[5, 4, 7]), going(&[(5, true)], &[4, 5]));
        tags.requeued(6);
        assert_eq!(finish(&mut tags, &[8, 9]), going(&[(9, true)], &[7, 8, 9]));
        assert_eq!(tags.singly(), going(&[], &[]));
    }

    /// What a broker makes of the acknowledgements, which are those that somebody waits for; panics where it
    /// would close the channel.
    fn send(going: Going<u64>, unsettled: &mut BTreeSet<u64>) {
        let mut waiting: BTreeSet<u64> = unsettled.clone();
        for ack in going.acks {
            assert!(unsettled.remove(&ack.tag), "unknown delivery tag {}", ack.tag);
            if ack.multiple {
                unsettled.retain(|tag| *tag > ack.tag);
            }
        }
        waiting.retain(|tag| !unsettled.contains(tag));
        assert_eq!(waiting, going.waiting.into_iter().collect(), "who waits is told");
    }

    proptest! {
        #[test]
        fn the_broker_settles_what_was_finished_and_nothing_else(
            order in Just((1..=60u64).collect::<Vec<_>>()).prop_shuffle(),
            cuts in proptest::collection::vec(1usize..8, 60),
            requeue in proptest::collection::vec(proptest::bool::weighted(0.2), 60),
            all in proptest::collection::vec(proptest::bool::weighted(0.3), 60),
        ) {
            let mut tags = Tags::new();
            let mut broker: BTreeSet<u64> = (1..=60).collect();
            let mut ours = broker.clone();
            let mut unsent = BTreeSet::new();
            let mut rest = &order[..];
            for (cut, all) in cuts.into_iter().zip(all) {
                let (batch, later) = rest.split_at(cut.min(rest.len()));
                rest = later;
                let (back, finished): (Vec<u64>, Vec<u64>) =
                    batch.iter().partition(|tag| requeue[usize::try_from(**tag).unwrap() - 1]);
                for tag in back {
                    prop_assert!(broker.remove(&tag));
                    tags.requeued(tag);
                }
                for tag in finished {
                    tags.finished(tag, tag);
                    unsent.insert(tag);
                }
                for going in std::iter::once(tags.together()).chain(all.then(|| tags.singly())) {
                    unsent.retain(|tag| !going.waiting.contains(tag));
                    send(going, &mut broker);
                }
                prop_assert_eq!(tags.unsent(), unsent.len());
                prop_assert!(unsent.is_empty() || !all);
                ours.retain(|tag| !batch.contains(tag));
                prop_assert_eq!(&broker, &ours.union(&unsent).copied().collect());
            }
        }
    }
}
