//! How fast an upstream's jobs can go, by its rates alone.

use std::time::Duration;

use fleetline_shared::domain::Dimension;
use fleetline_shared::ports::{Rate, Rates};
use fleetline_shared::rules::dollars;

/// The dimension that is the narrowest, and the calls that it lets start in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) dimension: Dimension,
    pub(super) rate: Rate,
    pub(super) per_second: f64,
}

impl Pace {
    /// Of calls that use so many tokens each, while so many thousandths of the limits are in use.
    /// `None`: no rate limits them. Money is a cap and no pace; input and output apart are not
    /// estimated.
    pub(super) fn of(rates: &Rates, tokens: f64, effective: u32) -> Option<Self> {
        let paces = [(Dimension::Requests, rates.requests, 1.0), (Dimension::Tokens, rates.tokens, tokens)];
        let paces = paces.into_iter().filter_map(|(dimension, rate, each)| {
            let rate = rate?;
            let units = rate.amount as f64 * f64::from(effective) / 1e3 / rate.window.as_secs_f64();
            Some(Self { dimension, rate, per_second: units / each.max(1.0) })
        });
        paces.min_by(|one, other| one.per_second.total_cmp(&other.per_second))
    }

    /// Time for so many calls.
    pub(super) fn time_for(&self, calls: u64) -> Duration {
        const LONGEST: f64 = 1e9;
        Duration::from_secs_f64((calls as f64 / self.per_second).clamp(0.0, LONGEST))
    }

    /// `8.3 calls/s (500 requests in 60s)`
    pub(super) fn words(&self) -> String {
        format!("{} ({})", calls_per_second(self.per_second), rate_words(self.dimension, self.rate))
    }
}

fn calls_per_second(rate: f64) -> String {
    if rate < 1.0 { format!("{:.1} calls/min", rate * 60.0) } else { format!("{rate:.1} calls/s") }
}

/// `500 requests in 60s`
pub(super) fn rate_words(dimension: Dimension, Rate { amount, window }: Rate) -> String {
    let units = match dimension {
        Dimension::Money => dollars(amount),
        other => format!("{amount} {}", dimension_name(other)),
    };
    format!("{units} in {}s", window.as_secs_f64())
}

/// As settings and people call it.
pub(super) fn dimension_name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Money => "budget",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_minute(amount: u64) -> Rate {
        Rate { amount, window: Duration::from_mins(1) }
    }

    #[test]
    fn the_narrowest_rate_decides() {
        let limits =
            Rates { requests: Some(per_minute(600)), tokens: Some(per_minute(60_000)), ..Rates::default() };
        // tokens of a call, thousandths in use, what decides, calls a second
        let table = [
            (0.0, 1_000, Dimension::Requests, 10.0),
            (50.0, 1_000, Dimension::Requests, 10.0),
            (200.0, 1_000, Dimension::Tokens, 5.0),
            (200.0, 500, Dimension::Tokens, 2.5),
        ];
        for (tokens, effective, dimension, per_second) in table {
            let pace = Pace::of(&limits, tokens, effective).expect("it is limited");
            assert_eq!(pace.dimension, dimension, "{tokens} tokens");
            assert!((pace.per_second - per_second).abs() < 1e-9, "{pace:?}");
        }
        let pace = Pace::of(&limits, 0.0, 1_000).expect("it is limited");
        assert_eq!(pace.time_for(50), Duration::from_secs(5));
        assert_eq!(pace.words(), "10.0 calls/s (600 requests in 60s)");
        assert_eq!(Pace::of(&Rates::default(), 10.0, 1_000), None, "how long a call takes, nobody said");
    }
}
