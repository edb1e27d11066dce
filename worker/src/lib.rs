//! What does the work: takes deliveries, makes each job's one paid call, records the outcome.
//!
//! Read it in the order of a job's way: [`worker`] takes deliveries from its `inbox` as the `flow`
//! has room, `intake` leases and checks them in groups, `attempt` leads each through the gate to its kind's
//! handler ([`kinds`], [`analysers`]), which makes its call through a client of its [`upstream`]; `recorder`
//! commits outcomes and acknowledges in groups.

pub mod analysers;
mod attempt;
mod call;
mod committer;
mod flow;
mod gate;
mod guesses;
mod inbox;
mod intake;
mod job;
mod keeper;
pub mod kinds;
mod others;
mod recorder;
mod terms;
mod trouble;
pub mod upstream;
mod while_open;
pub mod worker;

pub use terms::{Fail, OnOpen, Price, Terms};
pub use worker::{Worker, WorkerError, WorkerOptions};
