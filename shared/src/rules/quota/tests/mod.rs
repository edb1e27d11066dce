//! The promises of the arithmetic, with time as a number.

mod adaptive;
mod answers;
mod bound;
mod budget;
mod claims;
mod discovery;
mod health;
mod limited;
mod mixed;
mod parts;
mod restart;
mod use_of_limit;

use std::time::Duration;

use super::{Pacing, QuotaState, Slot, SlotAsk, micros};
use crate::domain::Spend;
use crate::ports::{CallEnd, Lack, Limits, Rate};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

fn rate(amount: u64, window: u64) -> Rate {
    Rate { amount, window: Duration::from_micros(window) }
}

fn requests(amount: u64, window: u64) -> Limits {
    Limits { requests: Some(rate(amount, window)), ..Limits::default() }
}

fn tokens(amount: u64, window: u64) -> Limits {
    Limits { tokens: Some(rate(amount, window)), ..Limits::default() }
}

fn guess(tokens: u64) -> Spend {
    Spend { input_tokens: tokens, ..Spend::default() }
}

fn used(tokens: Option<u64>) -> CallEnd {
    CallEnd::unknown(tokens.map(guess))
}

fn ask(tokens: u64, hold: u64) -> SlotAsk {
    SlotAsk { spend: guess(tokens), hold, ttl: MINUTE, ..SlotAsk::default() }
}

/// The slot of an ask that may wait for ever.
fn slot(state: &mut QuotaState, tokens: u64, now: u64) -> u64 {
    match state.admit(&ask(tokens, u64::MAX / 4), now) {
        Slot::At { at, .. } => at,
        refused => panic!("{refused:?}"),
    }
}

/// What started at a time: the independent record that the promises are checked against.
#[derive(Clone, Copy, Debug)]
struct Start {
    at: u64,
    tokens: u64,
}

/// Asserts that no closed window that ends with one of the starts holds more than the limits.
/// The starts are in the order of time.
fn assert_within(starts: &[Start], limits: &Limits) {
    let check = |rate: Option<Rate>, units: fn(&Start) -> u64| {
        let Some(rate) = rate else { return };
        let (mut sum, mut oldest) = (0, 0);
        for start in starts {
            sum += units(start);
            while starts[oldest].at + micros(rate.window) < start.at {
                sum -= units(&starts[oldest]);
                oldest += 1;
            }
            assert!(sum <= rate.amount, "{sum} of {} in the window until {}", rate.amount, start.at);
        }
    };
    check(limits.requests, |_| 1);
    check(limits.tokens, |start| start.tokens);
}
