//! How long a server asks to wait.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Longer waits are taken for this: a day has been seen for a limit per minute, and coming back
/// too early costs one call.
const MAX_WAIT: Duration = Duration::from_hours(1);

/// From `retry-after-ms`, `retry-after` (seconds or a date), or the reset of a limit that is used up.
/// `None` if the server says nothing that makes sense.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text("retry-after-ms")
        .and_then(|ms| number(ms, 1_000.0))
        .or_else(|| text(RETRY_AFTER.as_str()).and_then(|seconds| number(seconds, 1.0)))
        .or_else(|| until(text(RETRY_AFTER.as_str())?, text(DATE.as_str()), now))
        .or_else(|| ["requests", "tokens"].iter().filter_map(|what| reset(&text, what)).max());
    wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(MAX_WAIT))
}

/// Negative numbers and nothing at all have been seen; they say nothing.
fn number(text: &str, per_second: f64) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()? / per_second;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

/// Until a date, by the server's clock if it shows it.
fn until(date: &str, server_now: Option<&str>, now: SystemTime) -> Option<Duration> {
    let then = httpdate::parse_http_date(date).ok()?;
    let now = server_now.and_then(|now| httpdate::parse_http_date(now).ok()).unwrap_or(now);
    then.duration_since(now).ok()
}

/// When a used-up limit is free again: `6m0s`.
fn reset<'a>(text: &impl Fn(&str) -> Option<&'a str>, what: &str) -> Option<Duration> {
    let left = text(&format!("x-ratelimit-remaining-{what}"))?;
    (left == "0").then(|| span(text(&format!("x-ratelimit-reset-{what}"))?)).flatten()
}

/// `1s`, `6m0s`, `1h2m3.5s`, `20ms`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, seconds) = [("ms", 0.001), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const MINUTE_LATER: &str = "Wed, 21 Oct 2015 07:29:00 GMT";

    #[test]
    fn waits() {
        let now = httpdate::parse_http_date(DAY).expect("a date");
        let ms = |ms| Some(Duration::from_millis(ms));
        for (headers, expected) in [
            (&[][..], None),
            (&[("retry-after", "2")], ms(2_000)),
            (&[("retry-after", "1.5")], ms(1_500)),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "86400")], ms(3_600_000)),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", MINUTE_LATER)], ms(60_000)),
            (&[("retry-after", MINUTE_LATER), ("date", MINUTE_LATER)], None),
            (&[("retry-after", "Wed, 21 Oct 2014 07:28:00 GMT")], None),
            (&[("retry-after-ms", "250"), ("retry-after", "9")], ms(250)),
            (&[("retry-after-ms", "-1"), ("retry-after", "9")], ms(9_000)),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], ms(360_000)),
            (&[("x-ratelimit-remaining-tokens", "7"), ("x-ratelimit-reset-tokens", "6m0s")], None),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "20ms")], ms(20)),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
                .collect();
            assert_eq!(retry_after(&map, now), expected, "{headers:?}");
        }
    }

    #[test]
    fn spans() {
        for (text, expected) in [
            ("1s", Some(1.0)),
            ("1h2m3.5s", Some(3_723.5)),
            ("", Some(0.0)),
            ("5", None),
            ("5x", None),
            ("s", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(span(text).map(|span| span.as_secs_f64()), expected, "{text}");
        }
    }
}
