//! What puts work in and keeps it moving.
//!
//! - [`amqp`]: intake, events and dead letters on the broker.
//! - [`discovery`]: cutting XML documents into nodes.
//! - [`http`]: the HTTP intake.
//! - [`insight`]: how upstreams stand, and what a job waits for.
//! - [`intake`]: what every way in has in common.
//! - [`logs`]: reading logs, and which events are the same.
//! - [`pipelines`]: how an input becomes jobs.
//! - [`rows`]: results as rows for programs.
//! - [`submit`]: jobs that a splitter sends go to the ledger in batches.
//! - [`dispatcher`]: ready jobs go from the ledger to their lines.
//! - [`relay`]: events go from the outbox to those who listen.
//! - [`sweeper`]: what fell between ledger and line is put back.

pub mod amqp;
pub mod discovery;
pub mod dispatcher;
pub mod http;
pub mod insight;
pub mod intake;
pub mod logs;
pub mod pipelines;
pub mod relay;
pub mod rows;
pub mod submit;
pub mod sweeper;
