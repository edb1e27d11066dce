//! What does the work: takes deliveries, makes each job's one paid call, records the outcome.
//!
//! Read it in the order of a job's way: [`worker`] takes deliveries from its `inbox` as the `flow`
//! has room, `attempt` leads one from lease to acknowledgement through its kind's handler ([`kinds`],
//! [`analysers`]), which makes its call through a client of its [`upstream`]; `committer` records
//! outcomes in groups.

pub mod analysers;
mod attempt;
mod call;
mod committer;
mod flow;
mod gate;
mod guesses;
mod inbox;
pub mod kinds;
mod lease;
mod terms;
pub mod upstream;
mod while_open;
pub mod worker;

pub use terms::{Fail, OnOpen, Price, Terms};
pub use worker::{Worker, WorkerError, WorkerOptions};
