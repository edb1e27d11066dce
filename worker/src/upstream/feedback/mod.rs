//! What answers say about quota, read into [`Feedback`]. Pure: no clock, no I/O.
//!
//! Nothing here fails: what cannot be read, or cannot be true, is left out. Waits are capped at an
//! hour; resets and windows of a day or more are not believed.

mod ga4;
mod ietf;
mod reading;
mod standings;
mod vendors;

use std::time::{Duration, SystemTime};

use fleetline_shared::domain::Feedback;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use reading::{Headers, LONGEST_WAIT, instant, seconds};

pub use ga4::{property_quota, tokens_consumed};

/// Whose ways of telling about quota to read. All say how long to wait in the same ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// Nobody in particular: all known headers are looked for; their names differ.
    #[default]
    Plain,
    /// OpenAI and those who copy it.
    OpenAi,
    /// Azure's OpenAI service.
    Azure,
    /// Jira Cloud.
    Jira,
    /// Datadog.
    Datadog,
    /// Google Analytics 4: it tells in the body of a report, see [`property_quota`].
    Ga4,
}

/// What the headers of an answer say.
pub fn of_headers(vendor: Vendor, headers: &HeaderMap, now: SystemTime) -> Feedback {
    let headers = Headers::new(headers, now);
    let mut feedback = Feedback::default();
    match vendor {
        Vendor::Plain => {
            vendors::openai(&headers, &mut feedback);
            vendors::anthropic(&headers, &mut feedback);
            vendors::plain(&headers, &mut feedback);
            ietf::ietf(&headers, &mut feedback);
        }
        Vendor::OpenAi | Vendor::Azure => vendors::openai(&headers, &mut feedback),
        Vendor::Jira | Vendor::Datadog => vendors::plain(&headers, &mut feedback),
        Vendor::Ga4 => {}
    }
    feedback.retry_after = retry_after(&headers)
        .or_else(|| used_up(&feedback))
        .or_else(|| refused_by_jira(&headers))
        .map(|wait| wait.min(LONGEST_WAIT));
    feedback
}

/// `retry-after-ms`, or `retry-after` as seconds or a date.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |text: &str, per_second| seconds(text.parse().ok()?, per_second);
    let plain = headers.text(RETRY_AFTER.as_str());
    headers
        .text("retry-after-ms")
        .and_then(|ms| number(ms, 1_000.0))
        .or_else(|| number(plain?, 1.0))
        .or_else(|| headers.until(instant(plain?)?))
        .filter(|wait| !wait.is_zero())
}

/// When the last of the used-up limits is free again.
fn used_up(feedback: &Feedback) -> Option<Duration> {
    let used_up = feedback.standings.iter().filter(|standing| standing.remaining == Some(0));
    used_up.filter_map(|standing| standing.reset).max()
}

/// With a reason there is a refusal, whatever is left of which limit.
fn refused_by_jira(headers: &Headers) -> Option<Duration> {
    headers.text("ratelimit-reason")?;
    headers.reset(headers.text("x-ratelimit-reset")?)
}

#[cfg(test)]
mod tests;
