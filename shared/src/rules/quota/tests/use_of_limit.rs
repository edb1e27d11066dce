//! The limit is used to the full, and large calls get their share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// Callers that always want to call, each again as soon as its call has ended.
struct Demand<'a> {
    limits: Limits,
    callers: usize,
    /// Tokens of one call after the other.
    sizes: &'a [u64],
    /// Share of its tokens that a call really uses, in percent.
    used: u64,
    /// Duration of a call.
    latency: u64,
}

impl Demand<'_> {
    /// What starts until `end`. Whoever is refused asks again when it was told to.
    fn starts(&self, end: u64) -> Vec<Start> {
        let mut state = QuotaState::new(&self.limits, Pacing::default(), 0);
        let mut sizes = self.sizes.iter().copied().cycle();
        let mut starts: Vec<Start> = Vec::new();
        let mut wishes: Vec<u64> = (0..self.callers).map(|_| sizes.next().unwrap()).collect();
        // Time, caller, and the call that ends then.
        let mut events: BinaryHeap<_> = (0..self.callers).map(|caller| Reverse((0, caller, None))).collect();
        while let Some(Reverse((now, caller, ended))) = events.pop()
            && now < end
        {
            if let Some((id, place)) = ended {
                let start: &mut Start = &mut starts[place];
                start.tokens = start.tokens * self.used / 100;
                assert!(state.settle(id, &used(Some(start.tokens)), now));
            }
            match state.admit(&ask(wishes[caller], SECOND), now) {
                Slot::At { at, id, .. } => {
                    starts.push(Start { at, tokens: wishes[caller] });
                    wishes[caller] = sizes.next().unwrap();
                    events.push(Reverse((at + self.latency, caller, Some((id, starts.len() - 1)))));
                }
                Slot::TooFar { at, .. } => events.push(Reverse((at, caller, None))),
                refused => panic!("{refused:?}"),
            }
        }
        starts.retain(|start| start.at < end);
        starts
    }
}

/// Used share of the limit over five minutes, after the one in which the state starts empty.
fn share(demand: &Demand) -> f64 {
    let starts = demand.starts(6 * MINUTE);
    assert_within(&starts, &demand.limits);
    let warm = starts.iter().filter(|start| start.at >= MINUTE);
    let (rate, used) = match (demand.limits.requests, demand.limits.tokens) {
        (Some(rate), None) => (rate, warm.count() as u64),
        (_, Some(rate)) => (rate, warm.map(|start| start.tokens).sum()),
        (None, None) => panic!("nothing is limited"),
    };
    used as f64 / (5 * rate.amount) as f64
}

#[test]
fn requests_are_used_to_the_full() {
    for amount in [500, 6_000] {
        for callers in [50, 1_000] {
            let limits = requests(amount, MINUTE);
            let demand = Demand { limits, callers, sizes: &[0], used: 100, latency: 300_000 };
            let share = share(&demand);
            println!("{share:.4} of {amount} a minute with {callers} callers");
            assert!(share >= 0.99);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn tokens_are_used_to_the_full(sizes in prop::collection::vec(100u64..1_000, 2_000), callers in 30..300usize) {
        let limits = tokens(200_000, MINUTE);
        let demand = Demand { limits, callers, sizes: &sizes, used: 100, latency: 2 * SECOND };
        let share = share(&demand);
        prop_assert!(share >= 0.99, "{share}");
    }

    /// What a call does not use is known when it ends, and counts until then: from one second
    /// before its slot to two after it.
    #[test]
    fn estimates_twice_too_high_cost_no_more_than_the_time_they_stand(
        sizes in prop::collection::vec(100u64..1_000, 2_000), callers in 30..300usize,
    ) {
        let limits = tokens(200_000, MINUTE);
        let demand = Demand { limits, callers, sizes: &sizes, used: 50, latency: 2 * SECOND };
        let share = share(&demand);
        prop_assert!(share >= 0.99 - 3.0 / 60.0, "{share}");
    }
}

/// One call in twenty is much larger than the others, and larger than what is refilled in the hold.
#[test]
fn small_calls_do_not_starve_large_ones() {
    let sizes: Vec<u64> = (0..1_000).map(|call| if call % 20 == 0 { 5_000 } else { 300 }).collect();
    let demand =
        Demand { limits: tokens(30_000, MINUTE), callers: 40, sizes: &sizes, used: 100, latency: SECOND };
    let starts = demand.starts(5 * MINUTE);
    assert_within(&starts, &demand.limits);
    let large = starts.iter().filter(|start| start.tokens == 5_000).count();
    assert!(large * 20 >= starts.len() / 2, "{large} of {}", starts.len());
}
