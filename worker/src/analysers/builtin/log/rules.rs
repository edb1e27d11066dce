//! The table of rules, read once.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};
use serde::Deserialize;

use crate::kinds::log_analyze::Severity;

/// One type of error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// In kebab-case.
    #[serde(rename = "type")]
    pub(super) error_type: String,
    /// For people.
    pub(super) title: String,
    /// At level ERROR.
    pub(super) severity: Severity,
    /// Whether it is worth a ticket at level ERROR.
    pub(super) ticket: bool,
    /// How sure the pattern is.
    pub(super) confidence: f64,
    pattern: String,
    /// What happened.
    pub(super) means: String,
    /// What to look at.
    pub(super) check: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rule: Vec<Rule>,
}

/// All rules and their patterns as one.
pub(super) struct Rules {
    rules: Vec<Rule>,
    patterns: RegexSet,
}

impl Rules {
    /// The table that ships with this release.
    pub(super) fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Rules> = LazyLock::new(|| {
            let table: Table = toml::from_str(include_str!("rules.toml")).expect("the shipped rules parse");
            let patterns = RegexSetBuilder::new(table.rule.iter().map(|rule| &rule.pattern))
                .case_insensitive(true)
                .multi_line(true)
                .build()
                .expect("the shipped patterns compile");
            Rules { rules: table.rule, patterns }
        });
        &SHIPPED
    }

    /// The rule that fits best of those with at least that confidence: the surest, then the one for
    /// the earlier text, then the earlier rule.
    pub(super) fn best<'t>(&self, texts: impl IntoIterator<Item = &'t str>, least: f64) -> Option<&Rule> {
        let matches = texts.into_iter().flat_map(|text| self.patterns.matches(text));
        let candidates = matches.map(|place| &self.rules[place]).filter(|rule| rule.confidence >= least);
        candidates.reduce(|best, rule| if rule.confidence > best.confidence { rule } else { best })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let mut seen = HashSet::new();
        for rule in &Rules::shipped().rules {
            let name = &rule.error_type;
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.chars().all(|char| char.is_ascii_lowercase() || char == '-'), "{name}");
            assert!((0.0..=1.0).contains(&rule.confidence), "{name}");
            assert!(rule.title.len() <= 60 && rule.means.ends_with('.') && !rule.check.is_empty(), "{name}");
            assert!(rule.ticket || rule.severity < Severity::High, "{name}: high, but no ticket");
            let empty = regex::Regex::new(&rule.pattern).expect("compiles").is_match("");
            assert!(!empty, "{name} matches everything");
        }
    }
}
