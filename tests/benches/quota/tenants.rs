//! Two tenants on one upstream, with weights.

use std::collections::HashMap;

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};

use super::calls::Unit;
use super::extent::Extent;
use super::rig::{Limit, Rig, Site};
use super::utilisation::{begun, past};

/// Much, so that shares are of hundreds of calls: each call takes some hundred tokens more or less than
/// was estimated.
const LIMIT: Limit = Limit::Tokens(1_000_000);
const TENANTS: [(&str, u32); 2] = [("acme", 3), ("globex", 1)];
const WORKERS: usize = 4;

/// Both have work all the time. Prints each one's share of the tokens that the provider counted.
pub(crate) async fn print(site: &Site, extent: &Extent) {
    let mut rig = Rig::prepare(site, extent, LIMIT, "sliding-window").await;
    // Before the measured windows, in them, and twice that, since calls take about 1,000 tokens.
    let jobs = LIMIT.amount(extent) * u64::from(extent.windows + 3) / 500;
    for (tenant, weight) in TENANTS {
        rig.set(&format!("FLEETLINE_TENANTS__{}__WEIGHT", tenant.to_uppercase()), &weight.to_string());
        rig.set("FLEETLINE_RUN__TENANT", tenant);
        rig.submit(usize::try_from(jobs).expect("a few"));
    }
    rig.serve().await;
    for _ in 0..WORKERS {
        rig.add_worker();
    }
    let time = begun(&rig, extent).await;
    let whole = past(&rig, extent, &time).await;
    let calls = rig.provider.calls().await;
    let tenants = tenants(rig.database()).await;
    let mut used: HashMap<&str, u64> = HashMap::new();
    for call in calls.0.iter().filter(|call| call.charged && time.contains(&call.at_us)) {
        let job = call.job().expect("each call carries its job's id");
        *used.entry(tenants[&job].as_str()).or_default() += Unit::Tokens.of(call);
    }
    let all: u64 = used.values().sum();
    let weights: u32 = TENANTS.iter().map(|(_, weight)| weight).sum();
    println!(
        "{LIMIT} tokens/min, {WORKERS} workers, two tenants: {all} of {} tokens over {} windows of {} s; {}{}",
        LIMIT.amount(extent) * u64::from(extent.windows),
        extent.windows,
        extent.window.as_secs(),
        calls.rejected(),
        if whole { "" } else { "; CALLS STOPPED before the end" },
    );
    for (tenant, weight) in TENANTS {
        let share = used.get(tenant).copied().unwrap_or_default() as f64 / all as f64;
        let fair = f64::from(weight) / f64::from(weights);
        println!("  {tenant}, weight {weight}: {share:.4} of the tokens, {:.4} of its share", share / fair);
    }
    rig.clear().await;
}

/// Whose each job is.
async fn tenants(database: &str) -> HashMap<u128, String> {
    let mut connection = PgConnection::connect(database).await.expect("Postgres answers");
    let jobs: Vec<(Uuid, String)> = sqlx::query_as("SELECT job_id, tenant FROM job_states")
        .fetch_all(&mut connection)
        .await
        .expect("an answer");
    jobs.into_iter().map(|(job, tenant)| (job.as_u128(), tenant)).collect()
}
