//! What the kinds' analysers answer: the same shape whoever answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Characters of a summary at most.
pub const SUMMARY_CHARS: usize = 300;
/// Characters of a snippet at most.
pub const SNIPPET_CHARS: usize = 500;
/// Characters of a log analysis' title at most.
pub const TITLE_CHARS: usize = 120;
/// Characters of a log analysis' description at most.
pub const DESCRIPTION_CHARS: usize = 4_000;
/// Facts of one node at most; what is beyond is counted in [`NodeAnswer::facts_dropped`].
pub const MAX_FACTS: usize = 200;

/// The facts of one subtree, its root's first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// Facts in document order.
    pub facts: Vec<Fact>,
    /// Facts beyond [`MAX_FACTS`].
    #[serde(default)]
    pub facts_dropped: usize,
}

/// What is known of one element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Local name of the element.
    pub node_type: String,
    /// Path relative to the subtree's root, with positions; empty for the root itself.
    pub path: String,
    /// Values by name: attributes (`@id`) and children that hold a value (`Total`). A value is an
    /// object `{value, type}`, with `unit` where the document gives one.
    pub attributes: Map<String, Value>,
    /// Children that hold more than a value.
    pub children: Vec<ChildCount>,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// How complete it is.
    pub quality: Quality,
    /// One sentence.
    pub summary: String,
    /// From 0 to 1.
    pub confidence: f64,
    /// The beginning of its XML.
    pub snippet: String,
}

/// Children of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCount {
    /// Their local name.
    pub name: String,
    /// How many there are.
    pub count: u64,
}

/// A value that names something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// What is referred to: the local name of that element.
    pub kind: String,
    /// Where the value stands: `@PassengerRef` or `PassengerRef`.
    pub field: String,
    /// The value.
    pub value: String,
}

/// How complete an element is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// In one word.
    pub status: QualityStatus,
    /// What is missing: parts that its siblings have, empty values, references to nothing.
    pub missing: Vec<String>,
}

/// How complete an element is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QualityStatus {
    /// Nothing is missing.
    Complete,
    /// Something is.
    Partial,
    /// It holds nothing at all.
    Empty,
}

/// What a log event means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogAnswer {
    /// In kebab-case.
    pub error_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether somebody should look at it.
    pub create_ticket: bool,
    /// At most [`TITLE_CHARS`] characters.
    pub title: String,
    /// Markdown.
    pub description: String,
    /// From 0 to 1.
    pub confidence: f64,
}

/// How bad a log event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// The text's first characters, with an ellipsis if some are left out.
pub fn capped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}
