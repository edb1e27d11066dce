//! How vendors tell of their limits.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::State;
use crate::limiter::{Limited, Standing};

/// Whose headers tell of the limits. All send `Retry-After` with a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderStyle {
    /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` with resets like `6m0s`, `retry-after-ms`.
    OpenAi,
    /// The same without resets; a quarter of the answers has values that were seen there and mean
    /// nothing: -1, 0, 86400.
    Azure,
    /// `X-RateLimit-{Limit,Remaining,Reset,NearLimit}` of calls, the reset as a date; `RateLimit-Reason`.
    Jira,
    /// `X-RateLimit-{Limit,Period,Remaining,Reset,Name}` of calls, in seconds.
    Datadog,
    /// `Retry-After` alone.
    Plain,
}

/// What an answer tells besides how the limits stand.
#[derive(Default)]
pub(super) struct Told {
    /// Come back after this.
    pub(super) wait: Option<Duration>,
    /// Number of the call.
    pub(super) request: Option<u64>,
}

/// How long the caller of a limited call should wait. Nobody knows when another call ends; for a call
/// that never fits there is no use in waiting.
pub(super) fn wait(limited: &Limited) -> Option<Duration> {
    const A_PLACE_FREES: Duration = Duration::from_secs(1);
    limited.wait.or((limited.asked <= limited.limit).then_some(A_PLACE_FREES))
}

/// Adds the headers of the configured style.
pub(super) fn tell(headers: &mut HeaderMap, state: &State, told: &Told) {
    let now = state.clock.now();
    let standings = state.books().limiter.standings(now);
    let mut tell = Teller { headers };
    if let Some(request) = told.request {
        tell.put("x-request-id", &format!("req_{request:016x}"));
    }
    match state.options.headers {
        HeaderStyle::OpenAi => openai(&mut tell, standings, told.wait),
        HeaderStyle::Azure => {
            let dice = state.rng(told.request.unwrap_or_default().wrapping_mul(31)).u8(..12);
            azure(&mut tell, standings, told.wait, dice);
        }
        HeaderStyle::Jira => jira(&mut tell, standings[0], told.wait, state.clock.since_epoch(now)),
        HeaderStyle::Datadog => datadog(&mut tell, standings[0], told.wait),
        HeaderStyle::Plain => tell.retry_after(told.wait),
    }
}

struct Teller<'a> {
    headers: &'a mut HeaderMap,
}

impl Teller<'_> {
    fn put(&mut self, name: &'static str, value: &dyn Display) {
        let value = HeaderValue::try_from(value.to_string()).expect("only visible characters");
        self.headers.insert(HeaderName::from_static(name), value);
    }

    /// In whole seconds, not too early.
    fn retry_after(&mut self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.put("retry-after", &whole_seconds(wait));
        }
    }
}

fn openai(tell: &mut Teller, [requests, tokens]: [Option<Standing>; 2], wait: Option<Duration>) {
    if let Some(standing) = requests {
        tell.put("x-ratelimit-limit-requests", &standing.limit);
        tell.put("x-ratelimit-remaining-requests", &standing.remaining);
        tell.put("x-ratelimit-reset-requests", &span(standing.reset));
    }
    if let Some(standing) = tokens {
        tell.put("x-ratelimit-limit-tokens", &standing.limit);
        tell.put("x-ratelimit-remaining-tokens", &standing.remaining);
        tell.put("x-ratelimit-reset-tokens", &span(standing.reset));
    }
    if let Some(wait) = wait {
        tell.put("retry-after-ms", &wait.as_nanos().div_ceil(1_000_000));
    }
    tell.retry_after(wait);
}

fn azure(tell: &mut Teller, [requests, tokens]: [Option<Standing>; 2], wait: Option<Duration>, dice: u8) {
    let odd = ["-1", "0", "86400"].get(usize::from(dice));
    for (standing, limit, remaining) in [
        (requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        (tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),
    ] {
        let Some(standing) = standing else { continue };
        tell.put(limit, &standing.limit);
        tell.put(remaining, &odd.map_or(standing.remaining.to_string(), ToString::to_string));
    }
    let Some(wait) = wait else { return };
    tell.put("retry-after-ms", &wait.as_nanos().div_ceil(1_000_000));
    tell.put("retry-after", &odd.map_or(whole_seconds(wait).to_string(), ToString::to_string));
}

fn jira(tell: &mut Teller, standing: Option<Standing>, wait: Option<Duration>, now: Duration) {
    if let Some(standing) = standing {
        tell.put("x-ratelimit-limit", &standing.limit);
        tell.put("x-ratelimit-remaining", &standing.remaining);
        tell.put("x-ratelimit-reset", &date(now + standing.reset));
        if standing.remaining * 5 < standing.limit {
            tell.put("x-ratelimit-nearlimit", &true);
        }
    }
    if wait.is_some() {
        tell.put("ratelimit-reason", &"jira-burst-based");
    }
    tell.retry_after(wait);
}

fn datadog(tell: &mut Teller, standing: Option<Standing>, wait: Option<Duration>) {
    if let Some(standing) = standing {
        tell.put("x-ratelimit-limit", &standing.limit);
        tell.put("x-ratelimit-period", &whole_seconds(standing.window));
        tell.put("x-ratelimit-remaining", &standing.remaining);
        tell.put("x-ratelimit-reset", &whole_seconds(wait.unwrap_or(standing.reset)));
        tell.put("x-ratelimit-name", &"simulated");
    }
    tell.retry_after(wait);
}

fn whole_seconds(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1_000_000_000)
}

/// `20ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn span(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let seconds = match ms % 1_000 {
        0 => format!("{}s", ms / 1_000),
        part => format!("{}.{part:03}", ms / 1_000).trim_end_matches('0').to_owned() + "s",
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// ISO 8601 in whole seconds, rounded up.
fn date(since_epoch: Duration) -> String {
    let seconds = i64::try_from(whole_seconds(since_epoch)).unwrap_or_default();
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_look_like_openai_s() {
        for (ms, expected) in [
            (0, "0ms"),
            (20, "20ms"),
            (1_000, "1s"),
            (7_660, "7.66s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_723_500, "1h2m3.5s"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), expected);
        }
        assert_eq!(span(Duration::from_nanos(1)), "1ms");
        assert_eq!(date(Duration::from_millis(1_445_412_479_001)), "2015-10-21T07:28:00Z");
    }
}
