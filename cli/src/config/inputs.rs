//! `[discovery]` and `[logs]`: how inputs become jobs.

use std::path::PathBuf;

use serde::Deserialize;

use super::{numbers, text};

/// `[discovery]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Size above which a node is split, in KiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub max_subtree_kb: usize,
    /// Elements inside each other, at most.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 10_000, _>")]
    pub max_depth: usize,
    /// Size of a node that cannot be split, in MiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_024, _>")]
    pub max_node_mb: usize,
    /// What becomes of a malformed document.
    pub on_malformed: OnMalformed,
    /// The node configuration.
    #[serde(deserialize_with = "text::optional_path")]
    pub nodes: Option<PathBuf>,
    /// Share of siblings that makes a part usual, in percent.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 100, _>")]
    pub usual_percent: u8,
}

/// What becomes of a malformed document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMalformed {
    /// Nothing of it is kept.
    Refuse,
    /// What was read before the error is kept.
    Keep,
}

/// `[logs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Shape of the lines.
    pub format: LogFormat,
    /// Longest line, in KiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000_000, _>")]
    pub max_line_kb: usize,
    /// Longest stack trace, in KiB.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 100_000, _>")]
    pub max_stack_kb: usize,
    /// Lowest level that is kept.
    #[serde(deserialize_with = "text::optional_level")]
    pub min_level: Option<Level>,
    /// Where JSON events keep what.
    pub fields: LogFields,
}

/// Shape of a log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// As the first lines look.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text, with stack traces on further lines.
    Text,
}

/// Levels, the least grave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// `[logs.fields]`: paths, the first that is there counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogFields {
    #[serde(deserialize_with = "text::list")]
    pub timestamp: Vec<String>,
    #[serde(deserialize_with = "text::list")]
    pub level: Vec<String>,
    #[serde(deserialize_with = "text::list")]
    pub logger: Vec<String>,
    #[serde(deserialize_with = "text::list")]
    pub message: Vec<String>,
    #[serde(deserialize_with = "text::list")]
    pub stack: Vec<String>,
    #[serde(deserialize_with = "text::list")]
    pub service: Vec<String>,
}
