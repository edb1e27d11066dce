//! The real binary as a process: what people type, and what they get.

mod bad_input;
mod cancel;
mod commands;
mod database;
mod dead;
mod disk_full;
pub(crate) mod harness;
mod resume;
mod run;
mod signals;
