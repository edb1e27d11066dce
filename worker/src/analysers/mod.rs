//! Who answers a job.

pub mod builtin;
