//! What puts work in and keeps it moving.

pub mod discovery;
pub mod pipelines;
