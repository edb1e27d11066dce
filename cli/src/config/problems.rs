//! What is wrong with the settings: all of it, at once.

use std::fmt;

use figment::error::{Actual, Kind};

/// Everything that is wrong with the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigProblems(pub(super) Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, variable or flag that has it; empty if several do.
    pub from: String,
    /// The keys that it is about.
    pub keys: Vec<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(from: &str, key: &str, message: impl Into<String>) -> Self {
        let keys = if key.is_empty() { Vec::new() } else { vec![key.to_owned()] };
        Self { from: from.to_owned(), keys, message: message.into() }
    }

    /// The problem that stopped reading `figment`'s values into a `Config`.
    pub(super) fn of_value(from: &str, key: &str, error: figment::Error) -> Self {
        let message = match error.kind {
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                format!("expected {expected}, found {}", show(&found))
            }
            Kind::UnknownVariant(found, expected) => {
                format!("expected one of \"{}\", found \"{found}\"", expected.join("\", \""))
            }
            Kind::UnknownField(found, expected) => {
                format!("unknown key {found}; there are {}", expected.join(", "))
            }
            Kind::MissingField(name) => format!("{name} is missing"),
            other => other.to_string(),
        };
        Self::new(from, key, message)
    }
}

/// A value as the user wrote it, as far as that is known.
fn show(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Str(value) => format!("\"{value}\""),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

impl ConfigProblems {
    /// The problems, in the order of the layers.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.from.is_empty() {
            write!(f, "{}: ", self.from)?;
        }
        if !self.keys.is_empty() {
            write!(f, "{}: ", self.keys.join(", "))?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem:")?,
            many => write!(f, "the configuration has {many} problems:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for ConfigProblems {}
