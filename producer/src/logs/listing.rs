//! Each event with its fingerprint, so that people see what will be merged.

use std::io::Read;
use std::ops::ControlFlow;

use serde::Serialize;

use super::error::LogError;
use super::fingerprint::{Fingerprint, Fingerprinted, fingerprint};
use super::options::LogOptions;
use super::reader::EventReader;
use super::report::LogReport;

/// Lines of an event, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LineRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// One event, as `fleetline fingerprint` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventPrint {
    /// Where it stands.
    pub lines: LineRange,
    /// Events with the same one are one job.
    pub fingerprint: Fingerprint,
    /// What was hashed, readable.
    pub template: String,
    /// Level in upper case; empty if unknown.
    pub level: String,
    /// Logger; empty if unknown.
    pub logger: String,
}

/// Hands every event of a log to `sink`, until it breaks. Events below the least level are counted
/// and left out, as in a run.
pub fn fingerprint_events(
    input: impl Read,
    options: &LogOptions,
    sink: &mut dyn FnMut(EventPrint) -> ControlFlow<()>,
) -> Result<LogReport, LogError> {
    let mut reader = EventReader::open(input, options)?;
    while let Some(event) = reader.next_passing()? {
        let Fingerprinted { fingerprint, template } = fingerprint(&event);
        let lines = LineRange { first: event.first_line, last: event.last_line };
        let print = EventPrint { lines, fingerprint, template, level: event.level, logger: event.logger };
        if sink(print).is_break() {
            break;
        }
    }
    Ok(reader.into_report())
}
