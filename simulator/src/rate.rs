//! `500/min`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Unreadable;

/// An amount within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units, at least 1.
    pub amount: u64,
    /// Length of the window, more than nothing.
    pub window: Duration,
}

impl FromStr for Rate {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || {
            Unreadable(format!("`{text}` is no rate; write an amount per window: 500/min, 200k/min, 100/10s"))
        };
        let (amount, window) = text.split_once('/').ok_or_else(wrong)?;
        let amount = amount_of(amount.trim()).ok_or_else(wrong)?;
        let window = window_of(window.trim()).ok_or_else(wrong)?;
        Ok(Self { amount, window })
    }
}

fn amount_of(text: &str) -> Option<u64> {
    let (number, thousands) = match text.chars().last()? {
        'k' => (&text[..text.len() - 1], 1e3),
        'M' => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let amount = number.parse::<f64>().ok()? * thousands;
    // Above this, not every whole number is one of these floats.
    let is_amount = (1.0..=9e15).contains(&amount) && amount.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range and whole")]
    is_amount.then_some(amount as u64)
}

fn window_of(text: &str) -> Option<Duration> {
    let window = if text.starts_with(|first: char| first.is_ascii_digit()) {
        humantime::parse_duration(text).ok()?
    } else {
        humantime::parse_duration(&format!("1{text}")).ok()?
    };
    (!window.is_zero()).then_some(window)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, humantime::format_duration(self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let rate = |amount, seconds| Ok(Rate { amount, window: Duration::from_secs(seconds) });
        for (text, expected) in [
            ("500/min", rate(500, 60)),
            ("200k/min", rate(200_000, 60)),
            ("1.5M/h", rate(1_500_000, 3_600)),
            ("100/10s", rate(100, 10)),
            ("5 / s", rate(5, 1)),
        ] {
            assert_eq!(text.parse::<Rate>(), expected, "{text}");
        }
        for text in ["", "500", "0/min", "-1/min", "1.5/min", "5/fortnight", "5/0s", "NaN/s", "inf/s", "k/s"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
