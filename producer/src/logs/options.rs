//! How a log is read: the `[logs]` section of the configuration.

use serde::{Deserialize, Serialize};

use super::level::Level;

/// Settings of the `logs` pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// What the lines are. `auto` looks at the first ones.
    pub format: LogFormat,
    /// Where JSON lines keep their parts; tried before the names that are known anyway.
    pub fields: LogFields,
    /// Events below this level make no job; they are counted. Events without a level always do.
    /// Unset: all events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_level: Option<Level>,
    /// A longer line is cut, in KiB. A line that is a whole page of JSON may be 16 times as long.
    pub max_line_kb: usize,
    /// A longer message is cut, in KiB.
    pub max_message_kb: usize,
    /// What is kept of a stack trace, in KiB.
    pub max_stack_kb: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            fields: LogFields::default(),
            min_level: None,
            max_line_kb: 1024,
            max_message_kb: 32,
            max_stack_kb: 32,
        }
    }
}

/// What a log's lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// JSON if most of the first lines are.
    #[default]
    Auto,
    /// One JSON object a line, or one page of them.
    Json,
    /// Text. A line that is a JSON object is still read as one.
    Plain,
}

/// Paths of fields in JSON lines: names with dots, `attributes.attributes.logger.name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogFields {
    /// The time.
    pub timestamp: Vec<String>,
    /// The level, as a word or a number.
    pub level: Vec<String>,
    /// The logger.
    pub logger: Vec<String>,
    /// The message.
    pub message: Vec<String>,
    /// The stack trace.
    pub stack: Vec<String>,
    /// The service or host.
    pub service: Vec<String>,
}
