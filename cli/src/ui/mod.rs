//! What people see: tables on stdout, progress on stderr, numbers in one form everywhere.

pub mod format;
pub mod progress;
pub mod table;

/// Whether to colour what goes to a terminal, or not to one; `NO_COLOR` says no.
pub fn has_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
