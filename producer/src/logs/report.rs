//! What became of every line.

use serde::Serialize;

/// Counts of one reading. Two sums always hold, also when it was stopped early:
/// `lines = blank_lines + event_lines + joined_lines + page_lines` and
/// `events = event_lines + page_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Lines read, with those that had no text.
    pub lines: u64,
    /// Bytes read, line ends included.
    pub bytes: u64,
    /// Events found.
    pub events: u64,
    /// Lines without text.
    pub blank_lines: u64,
    /// Lines that began an event.
    pub event_lines: u64,
    /// Lines that belong to the event before them: stack traces, details.
    pub joined_lines: u64,
    /// Lines that were a page of JSON events.
    pub page_lines: u64,
    /// Events in those pages.
    pub page_events: u64,
    /// Lines with bytes that are no text; each was replaced by `U+FFFD`.
    pub invalid_utf8_lines: u64,
    /// Lines longer than allowed, cut.
    pub truncated_lines: u64,
    /// Lines of a JSON log that are no JSON object; read as text.
    pub malformed_json_lines: u64,
    /// The first of them.
    pub first_malformed_line: Option<u64>,
    /// Messages longer than allowed, cut.
    pub truncated_messages: u64,
    /// Stack traces longer than allowed, cut.
    pub truncated_stacks: u64,
    /// Events below the least level: no job.
    pub below_level: u64,
    /// Distinct fingerprints: jobs.
    pub groups: u64,
    /// Number of each group that stands for more than one event, and how many those are.
    pub occurrences: Vec<(u64, u64)>,
}
