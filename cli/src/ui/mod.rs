//! What people see: tables on stdout, progress on stderr, numbers in one form everywhere.

pub mod format;
pub mod progress;
pub mod table;
