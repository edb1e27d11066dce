//! The real binary as a process: what people type, and what they get.

mod bad_input;
mod commands;
mod dead;
mod disk_full;
pub mod harness;
mod run;
mod signals;
