//! Other services on the broker: jobs in, answers and events out.

mod answers;
mod examples;
mod intake;
mod outside;
