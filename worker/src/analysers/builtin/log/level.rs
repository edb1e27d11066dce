//! What a level makes of a rule.

use crate::kinds::log_analyze::Severity;

/// How seriously the program itself took the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// INFO and below: the program expected this.
    Plain,
    /// WARN.
    Warning,
    /// ERROR, and where no level is written.
    Error,
    /// FATAL and above.
    Fatal,
}

impl Weight {
    /// Of a level as written; `None` if it says nothing.
    pub(super) fn of(level: &str) -> Option<Self> {
        Some(match level.trim().to_ascii_uppercase().as_str() {
            "TRACE" | "DEBUG" | "FINE" | "FINER" | "FINEST" | "VERBOSE" | "CONFIG" | "INFO" | "NOTICE"
            | "INFORMATION" | "INFORMATIONAL" | "OK" => Self::Plain,
            "WARN" | "WARNING" => Self::Warning,
            "ERROR" | "ERR" | "SEVERE" => Self::Error,
            "FATAL" | "CRITICAL" | "CRIT" | "ALERT" | "EMERG" | "EMERGENCY" | "PANIC" => Self::Fatal,
            _ => return None,
        })
    }

    /// Severity and ticket of an event whose rule says so for ERROR.
    pub(super) fn apply(self, severity: Severity, ticket: bool) -> (Severity, bool) {
        match (self, severity) {
            // A warning is worth a ticket only if its rule is as bad as can be.
            (Self::Warning, Severity::High) => (Severity::Medium, ticket),
            (Self::Plain | Self::Warning, _) => (Severity::Low, false),
            (Self::Error, severity) => (severity, ticket),
            (Self::Fatal, Severity::Low) => (Severity::Medium, true),
            (Self::Fatal, _) => (Severity::High, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_weigh() {
        use Severity::{High, Low, Medium};
        for (level, severity, ticket, expected) in [
            ("INFO", High, true, (Low, false)),
            ("debug", Medium, true, (Low, false)),
            ("WARN", High, true, (Medium, true)),
            ("WARN", Medium, true, (Low, false)),
            ("WARNING", Low, false, (Low, false)),
            ("ERROR", Medium, true, (Medium, true)),
            ("ERROR", Low, false, (Low, false)),
            ("FATAL", Low, false, (Medium, true)),
            ("CRITICAL", Medium, false, (High, true)),
        ] {
            let weight = Weight::of(level).expect("a level");
            assert_eq!(weight.apply(severity, ticket), expected, "{level} {severity:?} {ticket}");
        }
        assert_eq!(Weight::of(""), None);
        assert_eq!(Weight::of("LOUD"), None);
    }
}
