//! Integration tests of all parts together, as one binary: linking is what costs.

mod amqp;
mod cli;
mod conformance;
mod conformance_ledger;
mod crashes;
mod discovery;
mod fingerprints;
mod fleet;
mod http;
mod http_json;
mod insight;
mod json_calls;
mod on_open;
mod openai;
mod pipelines;
mod postgres_ledger;
mod rabbitmq;
mod redis;
mod simulator;
mod spare_leases;
mod sqlite_ledger;
mod sweeper;
mod tls;
mod upstream;
mod week;
mod world;
