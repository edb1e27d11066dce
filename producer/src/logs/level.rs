//! Levels, in the many words that logs have for them.

use serde::{Deserialize, Serialize};

/// How bad an event says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `TRACE`, `FINEST`, `VERBOSE`.
    Trace,
    /// `DEBUG`, `FINE`.
    Debug,
    /// `INFO`.
    Info,
    /// `NOTICE`.
    Notice,
    /// `WARN`, `WARNING`.
    Warn,
    /// `ERROR`, `SEVERE`, `FAIL`.
    Error,
    /// `FATAL`, `CRITICAL`, `ALERT`, `EMERGENCY`, `PANIC`.
    Fatal,
}

impl Level {
    /// The level that a word names, in any case.
    pub fn read(word: &str) -> Option<Self> {
        let mut upper = [0; 11];
        let upper = upper.get_mut(..word.len())?;
        upper.copy_from_slice(word.as_bytes());
        upper.make_ascii_uppercase();
        Some(match &*upper {
            b"TRACE" | b"TRCE" | b"TRC" | b"FINEST" | b"FINER" | b"VERBOSE" => Self::Trace,
            b"DEBUG" | b"DBUG" | b"DBG" | b"DEB" | b"FINE" | b"CONFIG" | b"DEBUG1" | b"DEBUG2" => Self::Debug,
            b"INFO" | b"INF" | b"INFORMATION" | b"LOG" => Self::Info,
            b"NOTICE" => Self::Notice,
            b"WARN" | b"WARNING" | b"WRN" => Self::Warn,
            b"ERROR" | b"ERR" | b"SEVERE" | b"FAIL" | b"FAILURE" => Self::Error,
            b"FATAL" | b"CRITICAL" | b"CRIT" | b"CRT" | b"ALERT" | b"EMERG" | b"EMERGENCY" | b"PANIC"
            | b"FTL" => Self::Fatal,
            _ => return None,
        })
    }

    /// The level of one letter, as klog and Android write it.
    pub(super) fn read_letter(letter: u8) -> Option<&'static str> {
        Some(match letter {
            b'V' => "VERBOSE",
            b'D' => "DEBUG",
            b'I' => "INFO",
            b'W' => "WARNING",
            b'E' => "ERROR",
            b'F' => "FATAL",
            _ => return None,
        })
    }

    /// The level of a number: syslog's 0 to 7, or the 10 to 60 of pino and bunyan.
    pub(super) fn read_number(number: u64) -> Option<&'static str> {
        const SYSLOG: [&str; 8] =
            ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
        const TENS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        match usize::try_from(number).ok()? {
            small @ 0..=7 => Some(SYSLOG[small]),
            ten @ 10..=60 if ten % 10 == 0 => Some(TENS[ten / 10 - 1]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_letters_and_numbers() {
        for (word, level) in [
            ("ERROR", Some(Level::Error)),
            ("warning", Some(Level::Warn)),
            ("Info", Some(Level::Info)),
            ("SEVERE", Some(Level::Error)),
            ("information", Some(Level::Info)),
            ("crit", Some(Level::Fatal)),
            ("errors", None),
            ("", None),
            ("a-rather-long-word", None),
        ] {
            assert_eq!(Level::read(word), level, "{word}");
        }
        assert!(Level::Warn < Level::Error && Level::Trace < Level::Debug);
        assert_eq!(Level::read_number(3), Some("ERROR"));
        assert_eq!(Level::read_number(50), Some("ERROR"));
        assert_eq!(Level::read_number(404), None);
        assert_eq!(Level::read_letter(b'E'), Some("ERROR"));
    }
}
