//! What metrics are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

use crate::domain::{Dimension, Verdict};
use crate::ports::Lack;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfUpstream {
    pub(super) upstream: String,
}

impl OfUpstream {
    pub(super) fn new(upstream: &str) -> Self {
        Self { upstream: upstream.to_owned() }
    }
}

/// An upstream and how something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) upstream: String,
    pub(super) outcome: &'static str,
}

impl Outcome {
    pub(super) fn new(upstream: &str, outcome: &'static str) -> Self {
        Self { upstream: upstream.to_owned(), outcome }
    }
}

/// An upstream and what is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Counted {
    pub(super) upstream: String,
    pub(super) dimension: &'static str,
}

impl Counted {
    pub(super) fn new(upstream: &str, dimension: Dimension) -> Self {
        Self { upstream: upstream.to_owned(), dimension: dimension.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub(super) kind: String,
}

impl OfKind {
    pub(super) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Finished {
    pub(super) outcome: &'static str,
}

/// Jobs that wait, by why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Waiting {
    pub(super) kind: String,
    pub(super) upstream: String,
    pub(super) state: &'static str,
}

/// A part of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Part {
    pub(super) part: &'static str,
}

pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Failing => "failing",
        Verdict::RateLimited => "rate_limited",
        Verdict::Unknown => "unknown",
    }
}

pub(super) fn lack_name(lack: Lack) -> &'static str {
    match lack {
        Lack::Requests => "requests",
        Lack::InputTokens => "input_tokens",
        Lack::OutputTokens => "output_tokens",
        Lack::Tokens => "tokens",
        Lack::Money => "money",
        Lack::Concurrency => "concurrency",
        Lack::Pause => "pause",
        Lack::Breaker => "breaker",
    }
}
