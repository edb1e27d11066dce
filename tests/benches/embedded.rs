//! `make bench`: figures of embedded mode. Each is printed as a ratio to something measured in the
//! same run, since machines differ.

// With it comes the allocator of the binary.
use fleetline as _;

#[path = "embedded/makespan.rs"]
mod makespan;
#[path = "embedded/throughput.rs"]
mod throughput;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        throughput::print().await;
    });
    makespan::print();
}
