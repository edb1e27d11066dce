//! The book in numbers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::{Entry, Verdict};

/// Counts that outlive the calls' own lines.
#[derive(Debug, Default)]
pub(super) struct Totals {
    calls: u64,
    in_flight: u64,
    most_in_flight: u64,
    verdicts: BTreeMap<&'static str, u64>,
    statuses: BTreeMap<u16, u64>,
}

impl Totals {
    pub(super) fn begin(&mut self) {
        self.calls += 1;
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
    }

    /// `None`: the call has been forgotten.
    pub(super) fn end(&mut self, ended: Option<(Verdict, Option<u16>)>) {
        self.in_flight -= 1;
        let Some((verdict, status)) = ended else { return };
        let name = match verdict {
            Verdict::Open => unreachable!("an end is a verdict"),
            Verdict::Served => "served",
            Verdict::Limited => "limited",
            Verdict::Invalid => "invalid",
            Verdict::Fault => "fault",
            Verdict::Left => "left",
        };
        *self.verdicts.entry(name).or_default() += 1;
        if let Some(status) = status {
            *self.statuses.entry(status).or_default() += 1;
        }
    }

    pub(super) fn restart(&mut self) {
        let in_flight = self.in_flight;
        *self = Self { in_flight, most_in_flight: in_flight, ..Self::default() };
    }
}

/// The book in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    calls: u64,
    in_flight: u64,
    most_in_flight: u64,
    verdicts: BTreeMap<&'static str, u64>,
    statuses: BTreeMap<u16, u64>,
    /// What follows is from the calls that are still kept.
    kept: usize,
    first_at_us: Option<u64>,
    last_at_us: Option<u64>,
    charged_calls: u64,
    charged_tokens: u64,
    /// The most that any window of the limit's length was charged.
    most_calls_in_a_window: Option<u64>,
    most_tokens_in_a_window: Option<u64>,
    latency_us: Option<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
    most: u64,
}

impl Summary {
    pub(super) fn new(totals: &Totals, entries: &VecDeque<Entry>, windows: [Option<Duration>; 2]) -> Self {
        let charged = || entries.iter().filter(|entry| entry.charged);
        let tokens = |entry: &Entry| entry.input_tokens + entry.output_tokens;
        let [calls_window, tokens_window] = windows;
        Self {
            calls: totals.calls,
            in_flight: totals.in_flight,
            most_in_flight: totals.most_in_flight,
            verdicts: totals.verdicts.clone(),
            statuses: totals.statuses.clone(),
            kept: entries.len(),
            first_at_us: entries.front().map(|entry| entry.at_us),
            last_at_us: entries.back().map(|entry| entry.at_us),
            charged_calls: charged().count() as u64,
            charged_tokens: charged().map(tokens).sum(),
            most_calls_in_a_window: calls_window
                .map(|window| fullest(charged().map(|call| (call.at_us, 1)), window)),
            most_tokens_in_a_window: tokens_window
                .map(|window| fullest(charged().map(|call| (call.at_us, tokens(call))), window)),
            latency_us: latency(entries),
        }
    }
}

/// The most in any window that ends with a use.
fn fullest(uses: impl Iterator<Item = (u64, u64)>, window: Duration) -> u64 {
    let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    let mut inside = VecDeque::new();
    let (mut sum, mut most) = (0, 0);
    for (at, amount) in uses {
        inside.push_back((at, amount));
        sum += amount;
        while let Some((_, left)) = inside.pop_front_if(|(earlier, _)| *earlier + window <= at) {
            sum -= left;
        }
        most = most.max(sum);
    }
    most
}

fn latency(entries: &VecDeque<Entry>) -> Option<Latency> {
    let served = entries.iter().filter(|entry| entry.verdict == Verdict::Served);
    let mut all: Vec<u64> = served.filter_map(|entry| entry.latency_us).collect();
    all.sort_unstable();
    let most = *all.last()?;
    Some(Latency { p50: all[all.len() / 2], p99: all[all.len() * 99 / 100], most })
}
