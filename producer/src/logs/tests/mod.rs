//! What reading and fingerprinting promise together.

mod golden;
mod pairs;
mod properties;
mod reading;
mod traces;

use super::{EventReader, LogError, LogEvent, LogOptions, LogReport};

/// All events of a log, and the report.
fn read_with(input: &[u8], options: &LogOptions) -> Result<(Vec<LogEvent>, LogReport), LogError> {
    let mut reader = EventReader::open(input, options)?;
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push(event);
    }
    Ok((events, reader.into_report()))
}

fn read(input: &str) -> (Vec<LogEvent>, LogReport) {
    read_with(input.as_bytes(), &LogOptions::default()).unwrap()
}

/// The only event of a log.
fn only(input: &str) -> LogEvent {
    let (mut events, _) = read(input);
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

/// Every line is in the report exactly once.
fn assert_adds_up(report: &LogReport) {
    let parts = report.blank_lines + report.event_lines + report.joined_lines + report.page_lines;
    assert_eq!(report.lines, parts, "{report:?}");
    assert_eq!(report.events, report.event_lines + report.page_events, "{report:?}");
}
