//! The Postgres ledger: the suite of all ledgers, and what is its own.

mod conformance;
mod crowds;
mod faults;
mod follow_ups;
mod left_cancels;
mod left_runs;
mod left_shares;
mod many_tenants;
mod migrations;
mod offers;
mod outbox;
mod plans;
mod redrives;
mod rows;
mod shares;
mod silence;
mod sleepers;
mod tenants;
mod throughput;
mod waking;
