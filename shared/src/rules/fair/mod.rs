//! Tenants' turns on a line, by weight and tokens: start-time fair queueing.
//!
//! Each tenant has a clock that advances by the tokens of its jobs, divided by its weight. The turn is
//! the tenant's whose clock is furthest back; the line's own clock is that of the job that had the last
//! turn. A tenant whose clock is behind the line's had nothing to do, and saves nothing up: its clock
//! is set to the line's. So only how far a tenant is *ahead* of its line needs to be kept; it is never
//! more than what one job costs.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Steps of a clock for one token of a tenant with weight 1.
const STEPS: u64 = 1_000_000;
/// Tokens of one job, at most: so a clock of a whole batch fits its number.
const MOST_TOKENS: u64 = 1 << 32;

/// A tenant that has work for a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its share.
    pub weight: u32,
    /// How far its clock is ahead of the line's.
    pub ahead: u64,
    /// Estimated tokens of its next jobs, in their order.
    pub tokens: Vec<u64>,
    /// Whether it has jobs beyond those.
    pub more: bool,
}

/// Who has the next turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// For each turn the place of its tenant among the claims.
    pub order: Vec<usize>,
    /// How far the line's clock advanced: so much less is everybody ahead who made no claim.
    pub passed: u64,
    /// Ended before the limit because whose turn is next, or its further jobs, are not known.
    pub unknown: bool,
}

/// Gives up to `limit` turns, and sets the clocks of those that claim. `horizon`: there may be more
/// tenants with work, none of them less far ahead; whose turn comes after that is not known.
pub fn take_turns(claims: &mut [Claim], limit: usize, horizon: Option<u64>) -> Turns {
    let mut turns = Turns::default();
    let mut next_job = vec![0; claims.len()];
    let waiting = claims.iter().enumerate().filter(|(_, claim)| !claim.tokens.is_empty());
    let mut waiting: BinaryHeap<_> = waiting.map(|(place, claim)| Reverse((claim.ahead, place))).collect();
    while turns.order.len() < limit
        && let Some(Reverse((start, place))) = waiting.pop()
    {
        if horizon.is_some_and(|horizon| start > horizon) {
            break;
        }
        let claim = &mut claims[place];
        let Some(tokens) = claim.tokens.get(next_job[place]) else {
            turns.unknown = true;
            break;
        };
        turns.order.push(place);
        turns.passed = start;
        next_job[place] += 1;
        claim.ahead = start.saturating_add(price(*tokens, claim.weight));
        if next_job[place] < claim.tokens.len() || claim.more {
            waiting.push(Reverse((claim.ahead, place)));
        }
    }
    turns.unknown |= horizon.is_some() && turns.order.len() < limit;
    for claim in claims {
        claim.ahead = claim.ahead.saturating_sub(turns.passed);
    }
    turns
}

/// A job without an estimate counts as one token: then shares are by jobs.
fn price(tokens: u64, weight: u32) -> u64 {
    tokens.clamp(1, MOST_TOKENS) * STEPS / u64::from(weight.max(1))
}
