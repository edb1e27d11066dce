//! `make bench`: how much of a provider's quota the fleet uses, and that it never uses more. `serve` and
//! `work` are processes on private servers of this machine; the provider is `fleetline simulate`, from
//! whose ledger every figure is read.
//!
//! `cargo bench ... --bench quota -- storm` runs one part: 500, 6000, 200k (utilisation at that limit),
//! churn, redis, burst, outage, storm, two (upstreams, one paused), tenants (3:1), soak, provider (how fast the
//! simulator itself is). `WINDOW=10s` shortens the windows and the limits alike, `WINDOWS=2`
//! says over how many is measured, `WORKERS=1,4,16` with how many processes, `JOBS=10000` how many are due
//! at once, `MINUTES=10` how long the soak is and `SEED=1` what happens in it.

#[path = "quota/burst.rs"]
mod burst;
#[path = "quota/calls.rs"]
mod calls;
#[path = "quota/extent.rs"]
mod extent;
#[path = "quota/failing.rs"]
mod failing;
#[path = "quota/load.rs"]
mod load;
#[path = "quota/provider.rs"]
mod provider;
#[path = "quota/rig.rs"]
mod rig;
#[path = "quota/soak.rs"]
mod soak;
#[path = "quota/tenants.rs"]
mod tenants;
#[path = "quota/two.rs"]
mod two;
#[path = "quota/utilisation.rs"]
mod utilisation;

use extent::Extent;
use fleetline_tests::services::PrivateServers;
use rig::{Limit, Site};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let extent = Extent::of_environment();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    if wants("provider") {
        runtime.block_on(load::print());
    }
    if wanted == ["provider"] {
        return;
    }
    // Servers of its own, since one of them is restarted.
    let site = Site::on(PrivateServers::start());
    runtime.block_on(async {
        for limit in [Limit::Requests(500), Limit::Requests(6_000), Limit::Tokens(200_000)] {
            if wants(&limit.to_string()) {
                utilisation::print(&site, &extent, limit).await;
            }
        }
        if wants("churn") {
            utilisation::print_churn(&site, &extent).await;
        }
        if wants("redis") {
            utilisation::print_redis_restart(&site, &extent).await;
        }
        if wants("burst") {
            burst::print(&site, &extent).await;
        }
        if wants("outage") {
            failing::print_outage(&site, &extent).await;
        }
        if wants("storm") {
            failing::print_storm(&site, &extent).await;
        }
        if wants("soak") {
            soak::print(&site, &extent).await;
        }
        if wants("two") {
            two::print(&site, &extent).await;
        }
        if wants("tenants") {
            tenants::print(&site, &extent).await;
        }
    });
}
