//! What puts work in and keeps it moving: splitters, submit, dispatcher, sweeper.

pub mod logs;
pub mod pipelines;
