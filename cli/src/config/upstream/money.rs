//! Money: what calls cost, and how much may be spent. Kept in millionths of a dollar.

use std::fmt;
use std::time::Duration;

use fleetline_shared::ports::Rate;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use crate::config::rate::parse_window;
use crate::config::text::{none_or, parsed};

const MILLION: f64 = 1e6;
/// Dollars; more are a mistake.
const MOST: f64 = 1e9;

/// What calls with a model cost, in dollars per million tokens as providers list it: that is the same as
/// millionths of a dollar per token. Kept in millionths of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a price such as { input = 0.15, output = 0.60 }")]
pub struct Price {
    /// For tokens of requests.
    #[serde(deserialize_with = "dollars")]
    pub input: u64,
    /// For tokens of answers.
    #[serde(deserialize_with = "dollars")]
    pub output: u64,
}

/// `25 USD/day`, `none`
pub(super) fn optional_budget<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rate>, D::Error> {
    let shape =
        "\"none\" or dollars per window, such as \"25 USD/day\" or \"0.50 USD/h\" (windows: s, min, h, d)";
    parsed(from, shape, |text| none_or(text, budget))
}

fn budget(text: &str) -> Option<Rate> {
    let (money, window) = text.split_once('/')?;
    let amount = millionths(money.trim().strip_suffix("USD")?.trim_end().parse().ok()?)?;
    let window = parse_window(window.trim())?;
    (amount > 0 && window > Duration::ZERO).then_some(Rate { amount, window })
}

/// Rounded; `None`: not an amount of money.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn millionths(dollars: f64) -> Option<u64> {
    (0.0..=MOST).contains(&dollars).then(|| (dollars * MILLION).round() as u64)
}

fn dollars<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    struct Dollars;
    impl Visitor<'_> for Dollars {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("dollars for a million tokens, a number such as 0.15")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
            millionths(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            self.visit_f64(number as f64)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
            self.visit_f64(number as f64)
        }
    }
    from.deserialize_any(Dollars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_as_people_write_them() {
        for (text, expected) in [
            ("25 USD/day", Some((25_000_000, 86_400))),
            ("0.5USD / h", Some((500_000, 3_600))),
            ("1000000 USD/30d", Some((1_000_000_000_000, 2_592_000))),
            ("0.000001 USD/s", Some((1, 1))),
            ("25/day", None),
            ("25 EUR/day", None),
            ("USD 25/day", None),
            ("0 USD/day", None),
            ("-1 USD/day", None),
            ("inf USD/day", None),
            ("NaN USD/day", None),
            ("25 USD", None),
            ("25 USD/0s", None),
            ("1e10 USD/day", None),
        ] {
            let read = budget(text).map(|rate| (rate.amount, rate.window.as_secs()));
            assert_eq!(read, expected, "{text}");
        }
    }
}
