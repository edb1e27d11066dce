//! Rates as people write them: `500/min`, `200k/min`, `1.5M/h`, `100/10s`.

use std::time::Duration;

use fleetline_shared::ports::Rate;

/// What a rate looks like, for messages.
pub(super) const SHAPE: &str =
    "a rate such as \"500/min\", \"200k/min\", \"1.5M/h\" or \"100/10s\" (windows: s, min, h, d)";

/// Parses a rate. `None`: it is none, or so large or small that it means nothing.
pub(super) fn parse(text: &str) -> Option<Rate> {
    let (amount, window) = text.split_once('/')?;
    let rate = Rate { amount: parse_amount(amount.trim())?, window: parse_window(window.trim())? };
    (rate.amount > 0 && !rate.window.is_zero()).then_some(rate)
}

/// `1500`, `1_500`, `1.5k`, `2M`. Fractions must come out whole.
fn parse_amount(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'M' | 'm') => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.replace('_', "");
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || digits.ends_with('.') || !is_number(&whole) || !is_number(fraction) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    if factor % scale != 0 {
        return None;
    }
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(fraction * (factor / scale))
}

/// `min`, `h`, `10s`.
pub(super) fn parse_window(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit_at);
    let count = if count.is_empty() { 1 } else { count.parse::<u64>().ok()? };
    let seconds = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    // A year is beyond any provider's window; it keeps later arithmetic far from overflow.
    count.checked_mul(seconds).filter(|seconds| *seconds <= 366 * 86_400).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_as_people_write_them() {
        let table: [(&str, u64, u64); 11] = [
            ("500/min", 500, 60),
            ("200k/min", 200_000, 60),
            ("1.5M/h", 1_500_000, 3_600),
            ("100/10s", 100, 10),
            ("10/s", 10, 1),
            (" 10 / sec ", 10, 1),
            ("1_500/minute", 1_500, 60),
            ("0.5k/day", 500, 86_400),
            ("2m/hours", 2_000_000, 3_600),
            ("3K/2h", 3_000, 7_200),
            ("1/366d", 1, 366 * 86_400),
        ];
        for (text, amount, seconds) in table {
            let expected = Rate { amount, window: Duration::from_secs(seconds) };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate() {
        for text in [
            "",
            "/",
            "500",
            "500/",
            "/min",
            "500/fortnight",
            "0/min",
            "5/0s",
            "-5/min",
            "1.5/min",
            "1.2345k/min",
            "1./min",
            ".5k/min",
            "k/min",
            "5 per min",
            "1/367d",
            "99999999999999999999/s",
            "18446744073709551615k/s",
            "_/s",
            "5/10",
            "½/s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn reads_what_is_written(amount in 1_u64.., seconds in 1_u64..86_400) {
            let rate = Rate { amount, window: Duration::from_secs(seconds) };
            prop_assert_eq!(parse(&format!("{amount}/{seconds}s")), Some(rate));
        }
    }
}
