//! The rules, by theme. To add one, add a row to the table it belongs to and a line to the tests.

mod access;
mod code;
mod data;
mod network;
mod process;
mod resources;
mod services;

use super::table::{Certainty, Rule};
use crate::answers::Severity;

/// Where two rules are equally certain, the earlier table wins: causes before their effects.
pub(super) const TABLES: &[&[Rule]] = &[
    resources::RULES,
    data::RULES,
    access::RULES,
    network::RULES,
    services::RULES,
    code::RULES,
    process::RULES,
];

/// An event that nobody needs to act on.
pub(super) const INFORMATIONAL: Rule = Rule {
    error_type: "informational",
    pattern: "",
    certainty: Certainty::Hint,
    severity: Severity::Low,
    ticket: false,
    meaning: "The program reports what it does. No sign of a failure.",
    check: &[],
};

/// A failure that no rule knows.
pub(super) const UNCLASSIFIED_ERROR: Rule = Rule {
    error_type: "unclassified-error",
    pattern: "",
    certainty: Certainty::Hint,
    severity: Severity::Medium,
    ticket: true,
    meaning: "The program reports a failure that no rule knows.",
    check: &[
        "What the program did just before, in the same thread or request.",
        "Whether it began with a release or a change of configuration.",
    ],
};

/// A warning that no rule knows.
pub(super) const UNCLASSIFIED_WARNING: Rule = Rule {
    error_type: "unclassified-warning",
    pattern: "",
    certainty: Certainty::Hint,
    severity: Severity::Low,
    ticket: false,
    meaning: "The program warns of something that no rule knows, and goes on.",
    check: &["Whether it became more frequent.", "Whether errors of the same component follow it."],
};
