//! What can be wrong with a document, and where.

use std::fmt;
use std::io;

use serde::Serialize;

use super::checks::forbidden_char;

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// Path of the innermost open element; empty outside the root.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, " (in {})", self.path)?;
        }
        Ok(())
    }
}

/// Why a document cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// Reading failed.
    #[error("cannot read the document: {0}")]
    Io(#[source] io::Error),
    /// Nothing in it.
    #[error("the document is empty: {0}")]
    Empty(&'static str),
    /// Something else than XML.
    #[error("this is not XML: {0}")]
    NotXml(String),
    /// Not well-formed.
    #[error("malformed XML at {place}: {what}")]
    Malformed {
        /// Where.
        place: Place,
        /// Which rule it breaks.
        what: String,
    },
    /// A document type definition: entities in it can grow without bound, so none is read.
    #[error("the document has a DOCTYPE at {0}; DTDs are refused, remove it or resolve its entities first")]
    Dtd(Place),
    /// Beyond a configured limit.
    #[error("{what} at {place}; raise `discovery.{setting}` if that is right")]
    Limit {
        /// Where.
        place: Place,
        /// What is too much.
        what: String,
        /// Name of the setting.
        setting: &'static str,
    },
    /// The second reading gave something else than the first.
    #[error("the document changed while it was read; run again when nobody writes to it")]
    Changed,
    /// Options that make no sense.
    #[error("discovery options: {}", .0.join("; "))]
    Options(Vec<String>),
}

/// What went wrong, before the byte offset is turned into line and column.
#[derive(Debug)]
pub(super) struct Fault {
    /// Byte offset in the document as UTF-8, after the byte order mark.
    pub(super) offset: u64,
    pub(super) kind: FaultKind,
}

/// The kinds of [`Fault`].
#[derive(Debug)]
pub(super) enum FaultKind {
    Io(io::Error),
    Empty(&'static str),
    NotXml(String),
    Malformed(String),
    Dtd,
    Limit { what: String, setting: &'static str },
}

impl Fault {
    pub(super) fn malformed(offset: u64, what: impl Into<String>) -> Self {
        Self { offset, kind: FaultKind::Malformed(what.into()) }
    }

    pub(super) fn limit(offset: u64, what: String, setting: &'static str) -> Self {
        Self { offset, kind: FaultKind::Limit { what, setting } }
    }

    /// The error for people; `locate` finds line and column of the offset.
    pub(super) fn into_error(
        self,
        path: String,
        locate: impl FnOnce(u64) -> io::Result<(u64, u64)>,
    ) -> XmlError {
        let place = |offset| match locate(offset) {
            Ok((line, column)) => Ok(Place { line, column, path }),
            Err(error) => Err(XmlError::Io(error)),
        };
        let placed = match self.kind {
            FaultKind::Io(error) => return XmlError::Io(error),
            FaultKind::Empty(what) => return XmlError::Empty(what),
            FaultKind::NotXml(what) => return XmlError::NotXml(what),
            FaultKind::Malformed(what) => place(self.offset).map(|place| XmlError::Malformed { place, what }),
            FaultKind::Dtd => place(self.offset).map(XmlError::Dtd),
            FaultKind::Limit { what, setting } => {
                place(self.offset).map(|place| XmlError::Limit { place, what, setting })
            }
        };
        placed.unwrap_or_else(|error| error)
    }
}

/// Finds characters that XML forbids; the text begins at byte `start`.
pub(super) fn legal_at(text: &str, start: u64) -> Result<(), Fault> {
    match forbidden_char(text) {
        None => Ok(()),
        Some((at, char)) => {
            let what = format!("character U+{:04X} is not allowed", u32::from(char));
            Err(Fault::malformed(start + at as u64, what))
        }
    }
}
