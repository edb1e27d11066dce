//! Which acknowledgements to send for the delivery tags of one channel.

use std::collections::BTreeSet;

/// The settled tags of a channel: all up to `floor`, and those above it.
#[derive(Debug, Default)]
pub(super) struct Tags {
    floor: u64,
    above: BTreeSet<u64>,
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

    /// The acknowledgements of these finished tags: one for all that leave no unsettled tag below
    /// them, a single one for each other.
    pub(super) fn acked(&mut self, finished: &[u64]) -> Vec<Ack> {
        self.above.extend(finished);
        self.rise();
        let (low, high): (Vec<u64>, Vec<u64>) = finished.iter().partition(|tag| **tag <= self.floor);
        // The broker must still have the tag that a multiple acknowledgement names.
        let together = low.iter().max().map(|tag| Ack { tag: *tag, multiple: low.len() > 1 });
        let singly = high.into_iter().map(|tag| Ack { tag, multiple: false });
        together.into_iter().chain(singly).collect()
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
        assert_eq!(tags.acked(&[2, 3]), [single(2), single(3)]);
        assert_eq!(tags.acked(&[1]), [single(1)]);
        assert_eq!(tags.acked(&[5, 4, 7]), [Ack { tag: 5, multiple: true }, single(7)]);
        tags.requeued(6);
        assert_eq!(tags.acked(&[8, 9]), [Ack { tag: 9, multiple: true }]);
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
        ) {
            let mut tags = Tags::default();
            let mut broker: BTreeSet<u64> = (1..=60).collect();
            let mut ours = broker.clone();
            let mut rest = &order[..];
            for cut in cuts {
                let (batch, later) = rest.split_at(cut.min(rest.len()));
                rest = later;
                let (back, finished): (Vec<u64>, Vec<u64>) =
                    batch.iter().partition(|tag| requeue[usize::try_from(**tag).unwrap() - 1]);
                for tag in back {
                    prop_assert!(broker.remove(&tag));
                    tags.requeued(tag);
                }
                send(&tags.acked(&finished), &mut broker);
                ours.retain(|tag| !batch.contains(tag));
                prop_assert_eq!(&broker, &ours);
            }
        }
    }
}
