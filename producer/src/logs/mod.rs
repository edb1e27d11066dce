//! Logs: from lines to events, from events to groups that are the same problem.
//!
//! - [`EventReader`] joins lines to events: JSON, Datadog pages, logfmt, plain text with traces.
//! - [`fingerprint`] masks what varies in an event and hashes the rest.
//! - [`Groups`] counts events by fingerprint.
//! - [`fingerprint_events`] does the first two for a whole log, event by event.
//!
//! All of it is synchronous, reads its input as a stream, and holds one event at a time.

mod error;
mod event;
mod fingerprint;
mod groups;
mod header;
mod json;
mod level;
mod lines;
mod listing;
mod logfmt;
mod mask;
mod options;
mod reader;
mod report;
mod time;
mod trace;

pub use error::LogError;
pub use event::LogEvent;
pub use fingerprint::{Fingerprint, Fingerprinted, fingerprint};
pub use groups::Groups;
pub use level::Level;
pub use listing::{EventPrint, LineRange, fingerprint_events};
pub use options::{LogFields, LogFormat, LogOptions};
pub use reader::EventReader;
pub use report::LogReport;

#[cfg(test)]
mod tests;
