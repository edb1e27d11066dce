//! Which acknowledgements to send for the delivery tags of one channel.

use std::collections::BTreeSet;

/// The settled tags of a channel: all up to `floor`, and those above it.
#[derive(Debug, Default)]
pub(super) struct Tags {
    floor: u64,
    above: BTreeSet<u64>,
    /// Those that are finished, and whose acknowledgements have not been sent.
    unsent: BTreeSet<u64>,
}

/// One acknowledgement; with `multiple` it covers all unsettled tags up to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

impl Tags {
    /// A tag that went back to its queue.
    pub(super) fn requeued(&mut self, tag: u64) {
        self.above.insert(tag);
        self.rise();
    }

    /// A tag that is to be acknowledged.
    pub(super) fn finished(&mut self, tag: u64) {
        self.above.insert(tag);
        self.unsent.insert(tag);
        self.rise();
    }

    /// The one acknowledgement of all that leave no unsettled tag below them.
    pub(super) fn together(&mut self) -> Option<Ack> {
        let high = self.unsent.split_off(&(self.floor + 1));
        let low = std::mem::replace(&mut self.unsent, high);
        // The broker must still have the tag that a multiple acknowledgement names.
        low.last().map(|tag| Ack { tag: *tag, multiple: low.len() > 1 })
    }

    /// The acknowledgements of all others.
    pub(super) fn singly(&mut self) -> Vec<Ack> {
        std::mem::take(&mut self.unsent).into_iter().map(|tag| Ack { tag, multiple: false }).collect()
    }

    /// How many finished tags' acknowledgements have not been sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether the tag's acknowledgement has not been sent.
    pub(super) fn is_unsent(&self, tag: u64) -> bool {
        self.unsent.contains(&tag)
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
        let mut tags = Tags::default();
        let single = |tag| Ack { tag, multiple: false };
        let finish = |tags: &mut Tags, finished: &[u64]| {
            for tag in finished {
                tags.finished(*tag);
            }
            tags.together()
        };
        assert_eq!(finish(&mut tags, &[2, 3]), None);
        assert_eq!(tags.singly(), [single(2), single(3)]);
        assert_eq!(finish(&mut tags, &[1]), Some(single(1)));
        assert_eq!(finish(&mut tags, &[5, 4, 7]), Some(Ack { tag: 5, multiple: true }));
        assert!(tags.is_unsent(7) && !tags.is_unsent(5));
        tags.requeued(6);
        assert_eq!(finish(&mut tags, &[8, 9]), Some(Ack { tag: 9, multiple: true }));
        assert_eq!(tags.singly(), []);
    }

    /// What a broker makes of the acknowledgements; panics where it would close the channel.
    fn send(acks: &[Ack], unsettled: &mut BTreeSet<u64>) {
        for ack in acks {
            assert!(unsettled.remove(&ack.tag), "unknown delivery tag {}", ack.tag);
            if ack.multiple {
                unsettled.retain(|tag| *tag > ack.tag);
            }
        }
    }

    proptest! {
        #[test]
        fn the_broker_settles_what_was_finished_and_nothing_else(
            order in Just((1..=60u64).collect::<Vec<_>>()).prop_shuffle(),
            cuts in proptest::collection::vec(1usize..8, 60),
            requeue in proptest::collection::vec(proptest::bool::weighted(0.2), 60),
            all in proptest::collection::vec(proptest::bool::weighted(0.3), 60),
        ) {
            let mut tags = Tags::default();
            let mut broker: BTreeSet<u64> = (1..=60).collect();
            let mut ours = broker.clone();
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
                    tags.finished(tag);
                }
                send(tags.together().as_slice(), &mut broker);
                if all {
                    send(&tags.singly(), &mut broker);
                }
                ours.retain(|tag| !batch.contains(tag));
                let unsent = (1..=60).filter(|tag| tags.is_unsent(*tag));
                prop_assert_eq!(&broker, &ours.iter().copied().chain(unsent).collect());
            }
        }
    }
}
