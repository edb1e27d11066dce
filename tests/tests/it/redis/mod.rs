//! The adapters on Redis: their ports' suites on a real server, their twins, and faults.

mod cluster;
mod conformance;
mod faults;
mod leases;
mod limits;
mod rights;
mod share;
mod state;
mod throughput;
mod twin;

use std::time::Duration;

use fleetline_shared::redis::{Redis, RedisOptions};
use fleetline_tests::services;
use uuid::Uuid;

/// The shared server, under a prefix of this call's own.
fn redis() -> Redis {
    connect(&services::shared().redis)
}

/// A server, under a prefix of this call's own.
fn connect(url: &str) -> Redis {
    let prefix = format!("test-{}", Uuid::now_v7().simple());
    let response_timeout = Duration::from_secs(10);
    Redis::new(RedisOptions { prefix, response_timeout, ..RedisOptions::new(url) }).unwrap()
}
