//! Whether a process admits calls by its static share.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Metrics;
use crate::share::{Reach, Standing};

/// Adds metrics of what admits calls in this process. Must be called in a tokio runtime.
pub fn static_share(reach: &Reach, metrics: &mut Metrics) {
    let (gauge, begun) = (Gauge::<i64>::default(), Counter::<u64>::default());
    metrics.add(
        "static_share",
        "1 while calls are admitted by this process's share: Redis cannot be reached",
        gauge.clone(),
    );
    metrics.add("static_share_begun", "How often calls went over to the share", begun.clone());
    let mut changes = reach.changes();
    tokio::spawn(async move {
        loop {
            let is_share = *changes.borrow_and_update() == Standing::Share;
            if gauge.set(i64::from(is_share)) == 0 && is_share {
                begun.inc();
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}
