//! `make bench`: figures of the distributed mode, on private servers of this machine. Each is printed
//! beside something measured in the same run, since machines differ.
//!
//! `cargo bench ... --bench fleet -- throughput` runs one part: throughput, latency, waiting, backlog.

// With it comes the allocator of the binary.
use fleetline as _;

#[path = "fleet/backlog.rs"]
mod backlog;
#[path = "fleet/cpu.rs"]
mod cpu;
#[path = "fleet/floor.rs"]
mod floor;
#[path = "fleet/latency.rs"]
mod latency;
#[path = "fleet/plain.rs"]
mod plain;
#[path = "fleet/provider.rs"]
mod provider;
#[path = "fleet/rig.rs"]
mod rig;
#[path = "fleet/throughput.rs"]
mod throughput;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        if wants("throughput") {
            throughput::print().await;
        }
        if wants("latency") {
            latency::print().await;
        }
        if wants("waiting") {
            latency::print_waiting().await;
        }
        if wants("backlog") {
            let largest = std::env::var("BACKLOG").ok().and_then(|size| size.parse().ok());
            backlog::print(largest.unwrap_or(100_000)).await;
        }
    });
}
