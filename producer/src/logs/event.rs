//! One event of a log.

/// One event: a line, or several that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEvent {
    /// First line in the input, from 1.
    pub first_line: u64,
    /// Last line in the input; the events of a page of JSON share their line.
    pub last_line: u64,
    /// Time as written in the log.
    pub timestamp: Option<String>,
    /// Level in upper case (`ERROR`); empty if unknown.
    pub level: String,
    /// Name of the logger or component; empty if the line names none.
    pub logger: String,
    /// Service or host, where the log names it.
    pub service: Option<String>,
    /// The message without the line's header.
    pub message: String,
    /// The joined lines after the first: a stack trace, usually.
    pub stack: Option<String>,
}
