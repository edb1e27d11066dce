//! What the simulator's ledger says.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

/// A line of the ledger.
#[derive(Deserialize)]
pub(crate) struct Call {
    /// Microseconds since 1970.
    pub(crate) at_us: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) charged: bool,
    pub(crate) verdict: String,
    /// The trace context that the caller sent.
    marker: Option<String>,
}

impl Call {
    /// The job it was made for: the id of its trace.
    pub(crate) fn job(&self) -> Option<u128> {
        u128::from_str_radix(self.marker.as_ref()?.split('-').nth(1)?, 16).ok()
    }
}

/// All calls, in order of arrival.
pub(crate) struct Calls(pub(crate) Vec<Call>);

/// What a limit counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Calls,
    Tokens,
}

impl Unit {
    pub(crate) fn of(self, call: &Call) -> u64 {
        match self {
            Self::Calls => 1,
            Self::Tokens => call.input_tokens + call.output_tokens,
        }
    }
}

impl Calls {
    /// When the first call that used quota came.
    pub(crate) fn first_at(&self) -> Option<u64> {
        self.0.iter().find(|call| call.charged).map(|call| call.at_us)
    }

    /// When the first call came, from a time on, that had this verdict.
    pub(crate) fn first_of(&self, verdict: &str, from: u64) -> Option<u64> {
        self.0.iter().find(|call| call.at_us >= from && call.verdict == verdict).map(|call| call.at_us)
    }

    /// Calls of any verdict that came in a time.
    pub(crate) fn within(&self, time: Range<u64>) -> usize {
        self.0.iter().filter(|call| time.contains(&call.at_us)).count()
    }

    /// What was used in a time.
    pub(crate) fn used(&self, unit: Unit, time: Range<u64>) -> u64 {
        let charged = self.0.iter().filter(|call| call.charged && time.contains(&call.at_us));
        charged.map(|call| unit.of(call)).sum()
    }

    /// The most that any window of this length holds.
    pub(crate) fn fullest(&self, unit: Unit, window: Duration) -> u64 {
        let window = us(window);
        let mut inside = VecDeque::new();
        let (mut sum, mut most) = (0, 0);
        for call in self.0.iter().filter(|call| call.charged) {
            inside.push_back((call.at_us, unit.of(call)));
            sum += unit.of(call);
            while let Some((_, left)) = inside.pop_front_if(|(at, _)| *at + window <= call.at_us) {
                sum -= left;
            }
            most = most.max(sum);
        }
        most
    }

    /// How many met a limit, of how many, and when.
    pub(crate) fn rejected(&self) -> String {
        let limited = || self.0.iter().filter(|call| call.verdict == "limited").map(|call| call.at_us);
        let said = format!("rejected {} of {}", limited().count(), self.0.len());
        let seconds = |at: u64| at.saturating_sub(self.first_at().unwrap_or_default()) as f64 / 1e6;
        match (limited().next(), limited().next_back()) {
            (Some(first), Some(last)) => {
                format!("{said} ({:.1} s to {:.1} s after the first call)", seconds(first), seconds(last))
            }
            _ => said,
        }
    }

    /// The longest time without a call that used quota, within a time.
    pub(crate) fn longest_gap(&self, time: Range<u64>) -> Duration {
        let charged = self.0.iter().filter(|call| call.charged && time.contains(&call.at_us));
        let times: Vec<u64> = charged.map(|call| call.at_us).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        Duration::from_micros(gap.unwrap_or_default())
    }
}

/// In microseconds.
pub(crate) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("less than a few hundred thousand years")
}
