//! What the level says about an event.

use super::table::Certainty;
use crate::answers::Severity;

/// Levels by what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Fatal,
    Error,
    Warning,
    Info,
    Unknown,
}

impl Level {
    /// Reads a level as loggers, syslog and one-letter formats write it.
    pub(super) fn of(written: &str) -> Self {
        match written.trim().to_uppercase().as_str() {
            "FATAL" | "CRITICAL" | "CRIT" | "ALERT" | "EMERG" | "EMERGENCY" | "PANIC" | "F" | "C" => {
                Self::Fatal
            }
            "ERROR" | "ERR" | "SEVERE" | "E" | "FAILURE" => Self::Error,
            "WARN" | "WARNING" | "W" => Self::Warning,
            "INFO" | "INFORMATION" | "NOTICE" | "DEBUG" | "TRACE" | "VERBOSE" | "FINE" | "FINER"
            | "FINEST" | "CONFIG" | "I" | "D" | "T" | "V" | "N" => Self::Info,
            _ => Self::Unknown,
        }
    }

    /// Who writes at INFO means no failure: a hint is not enough to say otherwise.
    pub(super) fn least_certainty(self) -> Certainty {
        if self == Self::Info { Certainty::Phrase } else { Certainty::Hint }
    }

    /// Severity and ticket of a rule at this level.
    ///
    /// FATAL raises and always asks for a ticket. A program that warns goes on working, so only
    /// what is severe by rule asks for one. INFO and below lower and never ask.
    pub(super) fn adjust(self, severity: Severity, ticket: bool) -> (Severity, bool) {
        match self {
            Self::Fatal => (raised(severity), true),
            Self::Error | Self::Unknown => (severity, ticket),
            Self::Warning => (severity, ticket && severity == Severity::High),
            Self::Info => (lowered(severity), false),
        }
    }
}

fn raised(severity: Severity) -> Severity {
    if severity == Severity::Low { Severity::Medium } else { Severity::High }
}

fn lowered(severity: Severity) -> Severity {
    if severity == Severity::High { Severity::Medium } else { Severity::Low }
}
