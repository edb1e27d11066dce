//! Reading single values of headers, and what is too odd to be believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

/// Longer waits are taken for this: a day has been seen for a limit per minute, and coming back
/// too early costs one call.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Resets and windows beyond this are not believed.
const LONGEST_RESET: Duration = Duration::from_hours(24);
/// Numbers above this are seconds since 1970, not from now.
const EPOCH: f64 = 1e9;

/// The headers of one answer, and when it came.
pub(super) struct Headers<'a> {
    map: &'a HeaderMap,
    now: SystemTime,
}

impl<'a> Headers<'a> {
    /// Dates are read by the server's clock if it shows it, else by `now`.
    pub(super) fn new(map: &'a HeaderMap, now: SystemTime) -> Self {
        let here = Self { map, now };
        let shown = here.text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok());
        Self { map, now: shown.unwrap_or(now) }
    }

    /// A header's value, without blanks around it. `None` for what is no text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.map.get(name)?.to_str().ok().map(str::trim)
    }

    /// Time from now: `90`, `6m0s`, seconds since 1970, or a date. `None` if it is nothing, or a day
    /// or more, which has been seen for limits per minute.
    pub(super) fn reset(&self, text: &str) -> Option<Duration> {
        let wait = match text.parse::<f64>() {
            Ok(number) if number >= EPOCH => self.until(UNIX_EPOCH.checked_add(seconds(number, 1.0)?)?),
            Ok(number) => seconds(number, 1.0),
            Err(_) => span(text).or_else(|| self.until(instant(text)?)),
        };
        wait.filter(|wait| !wait.is_zero() && *wait < LONGEST_RESET)
    }

    /// Time until a date that is not over.
    pub(super) fn until(&self, then: SystemTime) -> Option<Duration> {
        then.duration_since(self.now).ok()
    }
}

/// Negative numbers and nothing at all have been seen; they say nothing.
pub(super) fn seconds(number: f64, per_second: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number / per_second).ok().filter(|wait| !wait.is_zero())
}

/// Length of a window, in seconds.
pub(super) fn window(text: &str) -> Option<Duration> {
    seconds(text.parse().ok()?, 1.0).filter(|window| *window <= LONGEST_RESET)
}

/// A date as HTTP writes it, or as ISO 8601 does.
pub(super) fn instant(text: &str) -> Option<SystemTime> {
    let iso = || OffsetDateTime::parse(text, &Iso8601::PARSING).ok().map(SystemTime::from);
    httpdate::parse_http_date(text).ok().or_else(iso)
}

/// `1s`, `6m0s`, `1h2m3.5s`, `20ms`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, length) = [("ms", 0.001), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("d", 86_400.0)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(Duration::try_from_secs_f64(amount * length).ok()?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, expected) in [
            ("1s", Some(1.0)),
            ("6m0s", Some(360.0)),
            ("20ms", Some(0.02)),
            ("1h2m3.5s", Some(3_723.5)),
            ("", Some(0.0)),
            ("5", None),
            ("5x", None),
            ("s", None),
            ("1.2.3s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(span(text).map(|span| span.as_secs_f64()), expected, "{text}");
        }
    }

    #[test]
    fn resets() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let map = HeaderMap::new();
        let headers = Headers::new(&map, now);
        for (text, expected) in [
            ("55", Some(55.0)),
            ("0.5", Some(0.5)),
            ("6m0s", Some(360.0)),
            ("1700000030", Some(30.0)),
            ("1699999999", None),
            ("2023-11-14T22:14:20Z", Some(60.0)),
            ("2023-11-14T22:14Z", Some(40.0)),
            ("2023-11-14T23:14:20+01:00", Some(60.0)),
            ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60.0)),
            ("2023-11-14T22:13:19Z", None),
            ("0", None),
            ("0s", None),
            ("-1", None),
            ("86400", None),
            ("24h", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(headers.reset(text).map(|wait| wait.as_secs_f64()), expected, "{text}");
        }
    }
}
