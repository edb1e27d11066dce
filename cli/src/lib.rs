//! The parts of the command line: settings and terminal output.

pub mod config;
pub mod ui;
