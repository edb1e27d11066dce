//! Shares follow the weights whatever the jobs are like, and nobody waits for ever.

use proptest::prelude::*;

use super::{Claim, STEPS, take_turns};

fn claim(weight: u32, tokens: &[u64]) -> Claim {
    Claim { weight, tokens: tokens.to_vec(), ..Claim::default() }
}

#[test]
fn turns_follow_weights_and_tokens() {
    type Tenant = (u32, &'static [u64]);
    // weights with tokens of jobs, limit, turns
    let table: [(&[Tenant], usize, &[usize]); 7] = [
        (&[(1, &[5, 5, 5]), (1, &[5, 5, 5])], 4, &[0, 1, 0, 1]),
        (&[(3, &[6; 9]), (1, &[6; 9])], 8, &[0, 1, 0, 0, 0, 1, 0, 0]),
        (&[(1, &[30, 30]), (1, &[10; 9])], 5, &[0, 1, 1, 1, 0]),
        (&[(1, &[0; 4]), (1, &[0; 4])], 4, &[0, 1, 0, 1]),
        (&[(1, &[7]), (1, &[7; 5])], 9, &[0, 1, 1, 1, 1, 1]),
        (&[(1, &[]), (1, &[7])], 9, &[1]),
        (&[], 9, &[]),
    ];
    for (claims, limit, order) in table {
        let mut given: Vec<_> = claims.iter().map(|(weight, tokens)| claim(*weight, tokens)).collect();
        assert_eq!(take_turns(&mut given, limit, None).order, order, "{claims:?}");
    }
}

#[test]
fn who_was_away_has_saved_nothing_up() {
    let mut claims = [claim(1, &[100; 50]), claim(1, &[])];
    take_turns(&mut claims, 50, None);
    claims[0].tokens = vec![100; 50];
    claims[1].tokens = vec![100; 50];
    let turns = take_turns(&mut claims, 20, None);
    assert_eq!(turns.order.iter().filter(|place| **place == 1).count(), 10);
}

#[test]
fn what_is_not_known_is_not_passed_over() {
    let mut claims = [Claim { more: true, ..claim(3, &[10]) }, claim(1, &[10; 10])];
    let turns = take_turns(&mut claims, 10, None);
    assert_eq!((turns.order.as_slice(), turns.unknown), (&[0, 1][..], true));
}

/// Rounds of random length over tenants with random weights, whose jobs have random sizes: as a
/// dispatcher does it, who keeps only how far each is ahead.
fn shares(weights: &[u32], sizes: &[Vec<u64>], rounds: &[usize]) -> Vec<u64> {
    let mut used = vec![0; weights.len()];
    let mut next = vec![0; weights.len()];
    let mut ahead = vec![0; weights.len()];
    for limit in rounds {
        let mut claims: Vec<_> = (0..weights.len())
            .map(|tenant| {
                let jobs = (next[tenant]..).map(|job| sizes[tenant][job % sizes[tenant].len()]);
                let claim = claim(weights[tenant], &jobs.take(*limit).collect::<Vec<_>>());
                Claim { ahead: ahead[tenant], more: true, ..claim }
            })
            .collect();
        for tenant in take_turns(&mut claims, *limit, None).order {
            used[tenant] += sizes[tenant][next[tenant] % sizes[tenant].len()].max(1);
            next[tenant] += 1;
        }
        ahead = claims.iter().map(|claim| claim.ahead).collect();
    }
    used
}

proptest! {
    /// What separates two tenants, weighed, is at most a job of each: so shares come within 2 % of the
    /// weights as soon as each has had the tokens of fifty of its largest jobs.
    #[test]
    fn shares_converge_to_the_weights(
        tenants in prop::collection::vec((1_u32..=20, prop::collection::vec(0_u64..5_000, 1..20)), 2..6),
        rounds in prop::collection::vec(1_usize..64, 1..60),
    ) {
        let (weights, sizes): (Vec<_>, Vec<_>) = tenants.into_iter().unzip();
        let used = shares(&weights, &sizes, &rounds);
        let weighed = |tenant: usize| used[tenant] as f64 / f64::from(weights[tenant]);
        let largest = |tenant: usize| {
            sizes[tenant].iter().copied().max().unwrap_or(0).max(1) as f64 / f64::from(weights[tenant])
        };
        for one in 0..weights.len() {
            for other in 0..one {
                let apart = (weighed(one) - weighed(other)).abs();
                prop_assert!(apart <= largest(one) + largest(other) + 1.0, "{used:?} for {weights:?}");
                let enough = 100.0 * largest(one).max(largest(other)) + 100.0;
                if weighed(one).min(weighed(other)) >= enough {
                    prop_assert!(apart / weighed(one).min(weighed(other)) <= 0.02, "{used:?} for {weights:?}");
                }
            }
        }
    }

    /// However heavy the others are: before a tenant's next job each of them gets what its weight says,
    /// and one job.
    #[test]
    fn nobody_starves(weights in prop::collection::vec(1_u32..=1_000, 2..8), size in 1_u64..10_000) {
        let jobs = 5 + weights.iter().map(|weight| *weight as usize + 1).sum::<usize>();
        let mut claims: Vec<_> = weights.iter().map(|weight| claim(*weight, &vec![size; jobs])).collect();
        let turns = take_turns(&mut claims, jobs, None);
        for tenant in 0..weights.len() {
            prop_assert!(turns.order.contains(&tenant), "{tenant} of {weights:?}");
        }
    }

    /// What is kept stays small for ever.
    #[test]
    fn nobody_is_further_ahead_than_one_job(
        weights in prop::collection::vec(1_u32..=1_000, 2..6),
        limits in prop::collection::vec(1_usize..20, 1..40),
        size in 1_u64..100_000,
    ) {
        let mut claims: Vec<_> = weights.iter().map(|weight| claim(*weight, &[size; 20])).collect();
        for limit in limits {
            take_turns(&mut claims, limit, None);
            for claim in &claims {
                prop_assert!(claim.ahead <= size * STEPS / u64::from(claim.weight));
            }
        }
    }
}

#[test]
fn beyond_the_horizon_nothing_is_known() {
    let claim = |ahead| Claim { weight: 1, ahead, tokens: vec![5; 4], more: false };
    let mut claims = [claim(0), claim(6 * STEPS)];
    let turns = take_turns(&mut claims, 8, Some(6 * STEPS));
    assert_eq!((turns.order, turns.unknown), (vec![0, 0, 1], true));
    let mut claims = [claim(0), claim(6 * STEPS)];
    let turns = take_turns(&mut claims, 3, Some(6 * STEPS));
    assert_eq!((turns.order, turns.unknown), (vec![0, 0, 1], false));
    let mut none = [Claim { weight: 1, ..Claim::default() }];
    assert!(take_turns(&mut none, 1, Some(0)).unknown, "there may be others");
}
