//! Headers of vendors, each with its own names.

use fleetline_shared::domain::{Dimension, Feedback};

use super::reading::{Headers, window};
use super::standings::{Written, note};

/// `OpenAI`, Azure and those who copy them: `x-ratelimit-remaining-tokens`. Azure also writes
/// `x-rate-limit-reset-tokens`, in plain seconds.
pub(super) fn openai(headers: &Headers, feedback: &mut Feedback) {
    for (what, dimension) in [("requests", Dimension::Requests), ("tokens", Dimension::Tokens)] {
        let text = |field: &str| headers.text(&format!("x-ratelimit-{field}-{what}"));
        let reset = text("reset").or_else(|| headers.text(&format!("x-rate-limit-reset-{what}")));
        let reset = reset.and_then(|reset| headers.reset(reset));
        let written = Written { limit: text("limit"), remaining: text("remaining"), reset, window: None };
        note(feedback, dimension, written);
    }
}

/// `anthropic-ratelimit-input-tokens-remaining`, resets as dates. Its `tokens` without more are
/// whichever of the others is tightest, so they are no dimension of their own.
pub(super) fn anthropic(headers: &Headers, feedback: &mut Feedback) {
    for (what, dimension) in [
        ("requests", Dimension::Requests),
        ("input-tokens", Dimension::InputTokens),
        ("output-tokens", Dimension::OutputTokens),
    ] {
        let text = |field: &str| headers.text(&format!("anthropic-ratelimit-{what}-{field}"));
        let reset = text("reset").and_then(|reset| headers.reset(reset));
        let written = Written { limit: text("limit"), remaining: text("remaining"), reset, window: None };
        note(feedback, dimension, written);
    }
}

/// `X-RateLimit-Limit`, as Datadog writes it (with `Period`, in seconds) and Jira (with a date as
/// `Reset`).
///
/// Jira's `RateLimit-Reason` says which limit an answer is about. One for a single issue, and one in
/// points, which are no calls, say nothing about the upstream's calls.
pub(super) fn plain(headers: &Headers, feedback: &mut Feedback) {
    let counts_calls =
        |reason: &str| !["jira-quota", "jira-per-issue"].iter().any(|of| reason.starts_with(of));
    if !headers.text("ratelimit-reason").is_none_or(counts_calls) {
        return;
    }
    let text = |field: &str| headers.text(&format!("x-ratelimit-{field}"));
    let written = Written {
        limit: text("limit"),
        remaining: text("remaining"),
        reset: text("reset").and_then(|reset| headers.reset(reset)),
        window: text("period").and_then(window),
    };
    note(feedback, Dimension::Requests, written);
}
