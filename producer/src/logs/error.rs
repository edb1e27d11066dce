//! Why a log could not be read at all. A bad line is no error: it is counted in the report.

use std::io;

use thiserror::Error;

/// Why a log could not be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is no line with text in it.
    #[error("the log is empty: it has no line with text")]
    Empty,
    /// It is no text.
    #[error("the log is no text: it {what}; {hint}")]
    NotText {
        /// What it looks like.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The input broke off.
    #[error("reading the log failed after line {after_line}: {source}")]
    Read {
        /// Lines read before.
        after_line: u64,
        /// What the system said.
        source: io::Error,
    },
}
