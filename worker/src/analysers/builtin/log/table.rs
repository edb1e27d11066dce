//! A table of rules and how one is chosen.

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use regex::{Regex, RegexBuilder};

use super::rules;
use crate::answers::Severity;

/// What words of a log event mean.
#[derive(Debug)]
pub(super) struct Rule {
    /// Unique, kebab-case.
    pub(super) error_type: &'static str,
    /// Regular expression on message and exceptions; case does not matter.
    pub(super) pattern: &'static str,
    pub(super) certainty: Certainty,
    pub(super) severity: Severity,
    pub(super) ticket: bool,
    /// What it means, one or two sentences.
    pub(super) meaning: &'static str,
    /// What to look at, in this order.
    pub(super) check: &'static [&'static str],
}

/// How little doubt a pattern leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// A word that often means it.
    Hint,
    /// A phrase that usually means it.
    Phrase,
    /// An exception's name or a phrase that means nothing else.
    Exact,
}

impl Certainty {
    pub(super) const INFORMATIONAL: f64 = 0.7;
    pub(super) const UNCLASSIFIED: f64 = 0.3;

    pub(super) fn confidence(self) -> f64 {
        match self {
            Self::Hint => 0.6,
            Self::Phrase => 0.75,
            Self::Exact => 0.9,
        }
    }
}

/// A rule applied to an event.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) error_type: &'static str,
    pub(super) severity: Severity,
    pub(super) ticket: bool,
    pub(super) confidence: f64,
    pub(super) meaning: &'static str,
    pub(super) check: &'static [&'static str],
}

/// All tables' rules, in order.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    rules::TABLES.iter().copied().flatten()
}

/// Memory for the automaton that matches all patterns at once, per thread at most.
const AUTOMATON_BYTES: usize = 16 << 20;

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(all().map(|rule| rule.pattern))
        .case_insensitive(true)
        // The patterns are ASCII; without Unicode's tables and word boundaries they match many
        // times faster, and the automaton stays in its cache.
        .unicode(false)
        .dfa_size_limit(AUTOMATON_BYTES)
        .build()
        .expect("the tables' patterns are valid, a test compiles them all")
});

/// The most certain rule that matches; among equals the one whose table comes first.
pub(super) fn best(words: &str, least: Certainty) -> Option<&'static Rule> {
    let matches = PATTERNS.matches(words.as_bytes());
    let rules = all().enumerate().filter(|(index, rule)| matches.matched(*index) && rule.certainty >= least);
    rules.map(|(_, rule)| rule).reduce(|best, rule| if rule.certainty > best.certainty { rule } else { best })
}

static FAILURE: LazyLock<Regex> = LazyLock::new(|| {
    RegexBuilder::new(
        r"\b(error|fatal|critical|fail(ed|ure|s|ing)?|exception|abort(ed|ing)?|cannot|unable to)\b",
    )
    .case_insensitive(true)
    .build()
    .expect("a fixed pattern")
});

/// Whether words of an event without a level say that something went wrong.
pub(super) fn speaks_of_failure(words: &str) -> bool {
    FAILURE.is_match(words)
}
